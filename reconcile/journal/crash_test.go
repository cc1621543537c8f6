package journal

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

const appendForever = "JOURNAL_TEST_APPEND_FOREVER"

// TestMain lets the test program be the writer that is killed.
func TestMain(m *testing.M) {
	if dir := os.Getenv(appendForever); dir != "" {
		j, err := Open(dir, Options{Node: "child", MaxSize: 32 << 10, Files: 64})
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		for i := 1; i < 5000; i++ { // more than fits into the files kept; killed long before
			if err := j.Append(Record{Kind: Seen, N: i, Why: strings.Repeat("x", i%300)}); err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
			fmt.Println(i) // acknowledged: one write(2) on the pipe
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// TestKillLosesNothingAcknowledged kills a writer without warning, again and
// again on the same journal.
func TestKillLosesNothingAcknowledged(t *testing.T) {
	dir := t.TempDir()
	total := 0
	for round := range 8 {
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), appendForever+"="+dir)
		child.Stderr = t.Output()
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		acknowledged := 0
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			if _, err := fmt.Sscan(lines.Text(), &acknowledged); err != nil {
				t.Fatalf("the child said %q", lines.Text())
			}
			if acknowledged == 100+37*round {
				if err := child.Process.Kill(); err != nil { // SIGKILL; what is in the pipe is read on
					t.Fatal(err)
				}
			}
		}
		if err := child.Wait(); err == nil || child.ProcessState.ExitCode() != -1 {
			t.Fatalf("the child ended by itself: %v", err)
		}
		var last Record
		for r, err := range Read(dir, Filter{Kinds: []Kind{Seen}}) {
			if err != nil {
				t.Fatal(err)
			}
			if r.N != 1 && r.N != last.N+1 {
				t.Fatalf("round %d: %d follows %d", round, r.N, last.N)
			}
			last = r
		}
		if last.N < acknowledged {
			t.Fatalf("round %d: %d records were acknowledged and %d are there", round, acknowledged, last.N)
		}
		total += acknowledged
	}
	if rs := mustRecords(t, mustOpen(t, dir, Options{Files: 64}), Filter{Kinds: []Kind{Seen}}); len(rs) < total {
		t.Errorf("%d records of %d", len(rs), total)
	}
}
