package wire

import (
	"bytes"
	"io"
	"strings"
	"testing"
)

// What follows a torn line is read.
func TestTornFrames(t *testing.T) {
	var b bytes.Buffer
	w := NewWriter(&b)
	if err := w.Send(Out, 7, []byte("whole")); err != nil {
		t.Fatal(err)
	}
	b.WriteString("o 8 aGFs") // the guest was reset here
	if err := w.Break(); err != nil {
		t.Fatal(err)
	}
	b.WriteString("x\n\no 9\no x YQ==\no 9 *\n")
	if err := w.SendJSON(Exit, 9, Result{Code: 3}); err != nil {
		t.Fatal(err)
	}
	if n, err := io.Copy(w.Stream(In, 1), strings.NewReader(strings.Repeat("x", 2*Chunk+1))); err != nil || n != 2*Chunk+1 {
		t.Fatal(n, err)
	}
	r := NewReader(&b)
	f, err := r.Next()
	if err != nil || f.Type != Out || f.Stream != 7 || string(f.Data) != "whole" {
		t.Fatalf("%+v %v", f, err)
	}
	// "aGFs" is whole base64: a torn payload may be one, and ends no stream.
	if f, err = r.Next(); err != nil || f.Type != Out || f.Stream != 8 {
		t.Fatalf("%+v %v", f, err)
	}
	var res Result
	if f, err = r.Next(); err != nil || f.Type != Exit || f.JSON(&res) != nil || res.Code != 3 {
		t.Fatalf("%+v %v", f, err)
	}
	total := 0
	for range 3 {
		if f, err = r.Next(); err != nil || f.Type != In || len(f.Data) > Chunk {
			t.Fatalf("%+v %v", f, err)
		}
		total += len(f.Data)
	}
	if _, err := r.Next(); err != io.EOF || total != 2*Chunk+1 {
		t.Error(total, err)
	}
}

func FuzzNext(f *testing.F) {
	f.Add([]byte("o 7 d2hvbGU=\n"))
	f.Add([]byte("o 8 aGFs\nx\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r := NewReader(bytes.NewReader(b))
		for {
			fr, err := r.Next()
			if err != nil {
				return
			}
			var again bytes.Buffer
			if err := NewWriter(&again).Send(fr.Type, fr.Stream, fr.Data); err != nil {
				t.Fatal(err)
			}
			if got, err := NewReader(&again).Next(); err != nil || got.Type != fr.Type || got.Stream != fr.Stream || !bytes.Equal(got.Data, fr.Data) {
				t.Fatalf("%+v became %+v (%v)", fr, got, err)
			}
		}
	})
}
