package scsi

import (
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"testing"
)

func bytesOf(t testing.TB, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(text, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestOrders: the bytes are those that sg_persist sends (sg_persist -vv of sg3_utils).
func TestOrders(t *testing.T) {
	for _, tc := range []struct {
		o         Order
		cdb, list string
	}{
		{Order{Action: RegisterAndIgnore, Other: 0x84df900100000003, Persist: true},
			"5f 06 00 00 00 00 00 00 18 00", "0000000000000000 84df900100000003 00000000 01 000000"},
		{Order{Action: Register, Key: 0x84df900100000003},
			"5f 00 00 00 00 00 00 00 18 00", "84df900100000003 0000000000000000 00000000 00 000000"},
		{Order{Action: Reserve, Key: 1, Type: 5},
			"5f 01 05 00 00 00 00 00 18 00", "0000000000000001 0000000000000000 00000000 00 000000"},
		{Order{Action: PreemptAndAbort, Key: 1, Other: 2, Type: 1},
			"5f 05 01 00 00 00 00 00 18 00", "0000000000000001 0000000000000002 00000000 00 000000"},
		{Order{Action: Release, Key: 1, Type: 1},
			"5f 02 01 00 00 00 00 00 18 00", "0000000000000001 0000000000000000 00000000 00 000000"},
	} {
		cdb, list := tc.o.encode()
		if !slices.Equal(cdb[:], bytesOf(t, tc.cdb)) || !slices.Equal(list[:], bytesOf(t, tc.list)) {
			t.Errorf("%+v: %x %x", tc.o, cdb, list)
		}
	}
	if cdb := readCommand(readReservation, 264); !slices.Equal(cdb[:], bytesOf(t, "5e 01 00 00 00 00 00 01 08 00")) {
		t.Errorf("%x", cdb)
	}
}

// Answers of a target of the Linux kernel (LIO), and what goes wrong with answers.
func TestAnswers(t *testing.T) {
	k, more, err := parseKeys(bytesOf(t, "00000007 00000010 84df900200000002 84df900200000002 0000"))
	if err != nil || more != 0 || k.Generation != 7 || !slices.Equal(k.Keys, []Key{0x84df900200000002, 0x84df900200000002}) {
		t.Errorf("%+v %d %v", k, more, err)
	}
	if _, more, err := parseKeys(bytesOf(t, "00000007 00000010 84df900200000002")); err != nil || more != 24 {
		t.Errorf("room for the rest: %d %v", more, err)
	}
	for _, bad := range []string{"", "00000007 000000", "00000007 00000004 00000000", "00000007 fffffff8"} {
		if k, _, err := parseKeys(bytesOf(t, bad)); err == nil {
			t.Errorf("%q gave %+v", bad, k)
		}
	}
	h, err := parseReservation(bytesOf(t, "00000007 00000010 84df900200000002 00000000 00 05 0000"))
	if err != nil || h != (Held{0x84df900200000002, 5}) {
		t.Errorf("%+v %v", h, err)
	}
	if h, err := parseReservation(bytesOf(t, "00000007 00000000 ffffffffffffffff")); err != nil || h != (Held{}) {
		t.Errorf("nobody: %+v %v", h, err)
	}
	for _, bad := range []string{"", "00000007 00000010 84df900200000002", "00000007 00000008 84df900200000002 00000000 00 05 0000",
		"00000007 00000010 84df900200000002 00000000 00 25 0000", "00000007 00000010 84df900200000002 00000000 00 00 0000"} {
		if h, err := parseReservation(bytesOf(t, bad)); err == nil {
			t.Errorf("%q gave %+v", bad, h)
		}
	}
	c, err := parseCapabilities(bytesOf(t, "0008 01 81 ea01 0000"))
	if err != nil || c != (Capabilities{Persist: true, Known: true, WriteExclusive: true, RegistrantsOnly: true}) {
		t.Errorf("%+v %v", c, err)
	}
	if c, err := parseCapabilities(bytesOf(t, "0008 00 00 ffff 0000")); err != nil || c != (Capabilities{}) {
		t.Errorf("a disk that does not say its types: %+v %v", c, err)
	}
	for _, bad := range []string{"0008 01 81", "0004 01 81 ea01 0000"} {
		if c, err := parseCapabilities(bytesOf(t, bad)); err == nil {
			t.Errorf("%q gave %+v", bad, c)
		}
	}
}

// TestVerdict: only a command that the disk says it has carried out has been.
func TestVerdict(t *testing.T) {
	fixed := func(key, asc, ascq byte) []byte {
		return []byte{0x70, 0, key, 0, 0, 0, 0, 10, 0, 0, 0, 0, asc, ascq, 0, 0, 0, 0}
	}
	for _, tc := range []struct {
		name         string
		status       uint8
		host, driver uint16
		sense        []byte
		want         string
		again        bool
	}{
		{"good", 0, 0, 0, nil, "", false},
		{"recovered", 2, 0, 8, fixed(1, 0x17, 1), "", false},
		{"conflict", 0x18, 0, 0, nil, "reservation conflict", false},
		{"conflict, as Linux 5.10 says it", 0x18, 0x11, 0, nil, "reservation conflict", false},
		{"preempted by another", 2, 0, 8, fixed(6, 0x2a, 5), "sense 0x06/0x2a/0x05", true},
		{"the same in the other format", 2, 0, 0, []byte{0x72, 6, 0x2a, 3}, "sense 0x06/0x2a/0x03", true},
		{"unknown command", 2, 0, 8, fixed(5, 0x20, 0), "does not know this command", false},
		{"busy", 8, 0, 0, nil, "status 0x08", true},
		{"no path", 0, 1, 0, nil, "not reached (host status 0x1)", false},
		{"no path, and a status left over", 0x18, 1, 0, nil, "not reached", false},
		{"timeout", 0, 0, 6, nil, "driver status 0x6", false},
		{"check condition without sense", 2, 0, 0, nil, "check condition", false},
		{"sense cut short", 2, 0, 0, []byte{0x70}, "check condition", false},
	} {
		err := verdict(tc.status, tc.host, tc.driver, tc.sense)
		if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v", tc.name, err)
		}
		if e, ok := errors.AsType[*StatusError](err); ok && e.again() != tc.again {
			t.Errorf("%s: again %v", tc.name, e.again())
		}
		if errors.Is(err, ErrConflict) != strings.HasPrefix(tc.name, "conflict") {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
}

func FuzzKeys(f *testing.F) {
	f.Add(bytesOf(f, "00000007 00000010 84df900200000002 84df900200000002"))
	f.Add(bytesOf(f, "00000007 ffffffff"))
	f.Fuzz(func(t *testing.T, b []byte) {
		k, more, err := parseKeys(b)
		switch {
		case err != nil && (more != 0 || len(k.Keys) > 0):
			t.Fatalf("%v, and %+v %d", err, k, more)
		case more > 0 && (more <= len(b) || more > most || len(k.Keys) > 0):
			t.Fatalf("room for %d of %d: %+v", more, len(b), k)
		case err == nil && more == 0 && 8+8*len(k.Keys) > len(b):
			t.Fatalf("%d keys in %d bytes", len(k.Keys), len(b))
		}
	})
}

func FuzzReservation(f *testing.F) {
	f.Add(bytesOf(f, "00000007 00000010 84df900200000002 00000000 00 05 0000"))
	f.Add(bytesOf(f, "00000007 00000000"))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := parseReservation(b)
		if (err != nil || h.Type == 0) && h != (Held{}) {
			t.Fatalf("%+v %v", h, err)
		}
		if h != (Held{}) && len(b) < 24 {
			t.Fatalf("%+v in %d bytes", h, len(b))
		}
	})
}

func FuzzCapabilities(f *testing.F) {
	f.Add(bytesOf(f, "0008 01 81 ea01 0000"))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := parseCapabilities(b)
		if err != nil && c != (Capabilities{}) || !c.Known && (c.WriteExclusive || c.RegistrantsOnly) {
			t.Fatalf("%+v %v", c, err)
		}
	})
}

func FuzzSense(f *testing.F) {
	f.Add(uint8(2), uint16(0), uint16(8), []byte{0x70, 0, 6, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x2a, 5})
	f.Fuzz(func(t *testing.T, status uint8, host, driver uint16, sense []byte) {
		if err := verdict(status, host, driver, sense); err == nil && (host != 0 || status != good && status&^1 != checkCondition && status != 1) {
			t.Fatalf("status %#x, host %#x is no success", status, host)
		}
	})
}
