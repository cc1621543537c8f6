package api

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"understudy/reconcile/journal"
)

// quiet answers questions, and counts what it is ordered.
type quiet struct {
	Service
	moves int
}

func (q *quiet) Status() (Status, error)                        { return Status{Node: "alpha"}, nil }
func (q *quiet) History(Filter) (v []journal.Record, err error) { return v, nil }
func (q *quiet) Move(context.Context, MoveRequest) error        { q.moves++; return nil }
func (q *quiet) Plan(string, []string) (v PlanReply, err error) { return v, nil }

// as calls one request as a user and group of the system: the thread that connects
// takes them on, and ends.
func as(t *testing.T, uid, gid int, path, method, target, body string) (status int, text string) {
	t.Helper()
	done := make(chan error, 1)
	c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(context.Context, string, string) (net.Conn, error) {
		conns := make(chan net.Conn, 1)
		go func() {
			runtime.LockOSThread() // and never unlocked: the thread ends with its user
			_, _, e1 := unix.RawSyscall(unix.SYS_SETGROUPS, 0, 0, 0)
			_, _, e2 := unix.RawSyscall(unix.SYS_SETRESGID, uintptr(gid), uintptr(gid), uintptr(gid))
			_, _, e3 := unix.RawSyscall(unix.SYS_SETRESUID, uintptr(uid), uintptr(uid), uintptr(uid))
			if e1 != 0 || e2 != 0 || e3 != 0 {
				t.Error(e1, e2, e3)
			}
			conn, err := net.Dial("unix", path)
			done <- err
			conns <- conn
		}()
		if err := <-done; err != nil {
			return nil, err
		}
		return <-conns, nil
	}}}
	req, err := http.NewRequestWithContext(t.Context(), method, "http://u"+target, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	res, err := c.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer res.Body.Close()
	var b bytes.Buffer
	_, _ = b.ReadFrom(res.Body)
	return res.StatusCode, b.String()
}

// The members of the group may ask and order nothing; others cannot even connect;
// without a group only root does.
func TestSocketOfAGroup(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: other users")
	}
	dir, err := os.MkdirTemp("", "api")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "s")
	s := new(quiet)
	open, end := make(chan struct{}), make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { end <- Serve(ctx, path, s, func() { close(open) }) }()
	select {
	case <-open:
	case err := <-end:
		t.Fatal(err)
	case <-time.After(time.Minute):
		t.Fatal("it does not open")
	}
	const nobody, adm = 65534, 4
	ask := func(uid, gid int, want int, words, method, target, body string) {
		t.Helper()
		if status, text := as(t, uid, gid, path, method, target, body); status != want || !strings.Contains(text, words) {
			t.Errorf("uid %d gid %d %s %s: %d %s, want %d %s", uid, gid, method, target, status, text, want, words)
		}
	}
	ask(nobody, adm, 0, "permission denied", "GET", "/v1/status", "")
	if err := Share(path, "adm"); err != nil {
		t.Fatal(err)
	}
	ask(nobody, adm, 200, "alpha", "GET", "/v1/status", "")
	ask(nobody, adm, 200, "", "GET", "/v1/plan", "")
	ask(nobody, adm, 200, "", "POST", "/v1/history", "{}")
	for _, verb := range []string{"apply", "step", "order", "stop", "move", "rehearse", "confirm-down", "clear", "release", "acquire"} {
		ask(nobody, adm, 409, "only root may order that", "POST", "/v1/"+verb, "{}")
	}
	ask(nobody, nobody, 0, "permission denied", "GET", "/v1/status", "")
	if s.moves != 0 {
		t.Error("it was ordered something")
	}
	ask(0, 0, 200, "{}", "POST", "/v1/move", `{"group":"g","to":"n"}`)
	if s.moves != 1 {
		t.Error("root could not order")
	}
	if err := Share(path, ""); err != nil {
		t.Fatal(err)
	}
	ask(nobody, adm, 0, "permission denied", "GET", "/v1/status", "")
	if err := Share(path, "no-such-group"); err == nil || !strings.Contains(err.Error(), "groupadd no-such-group") {
		t.Error(err)
	}
	cancel()
	if err := <-end; err != nil {
		t.Error(err)
	}
}

// FuzzRequests sends any body to any verb: it is answered in JSON, and what cannot
// be read reaches no verb.
func FuzzRequests(f *testing.F) {
	for _, body := range []string{"", "{}", "null", "[]", `{"group":"g"}`, `{"group":1}`, `{"nosuch":1}`, `{"group":"g"} x`, "\xff", strings.Repeat("[", 20000)} {
		for verb := range uint8(4) {
			f.Add(verb, body)
		}
	}
	verbs := []string{"move", "clear", "history", "no-such-verb"}
	f.Fuzz(func(t *testing.T, verb uint8, body string) {
		s := new(counting)
		target := "/v1/" + verbs[int(verb)%len(verbs)]
		req, err := http.NewRequest("POST", target, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		w := &answerOf{header: http.Header{}, status: 200}
		Handler(s).ServeHTTP(w, req.WithContext(context.WithValue(t.Context(), caller{}, true)))
		if w.status == 404 {
			return
		}
		if !json.Valid(w.body.Bytes()) {
			t.Errorf("%s %q: answered %q", target, body, w.body.String())
		}
		if !json.Valid([]byte(body)) && s.calls != 0 {
			t.Errorf("%s %q: was carried out", target, body)
		}
	})
}

type counting struct {
	Service
	calls int
}

func (c *counting) Move(context.Context, MoveRequest) error        { c.calls++; return nil }
func (c *counting) Clear(context.Context, string) error            { c.calls++; return nil }
func (c *counting) History(Filter) (v []journal.Record, err error) { c.calls++; return v, nil }

type answerOf struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (a *answerOf) Header() http.Header         { return a.header }
func (a *answerOf) WriteHeader(s int)           { a.status = s }
func (a *answerOf) Write(b []byte) (int, error) { return a.body.Write(b) }
