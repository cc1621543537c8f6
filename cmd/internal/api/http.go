package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"understudy/reconcile/journal"
)

// bodyLimit bounds what is read of a request or an answer.
const bodyLimit = 64 << 20

// Serve answers on the unix socket at path until ctx ends. The socket is root's
// until [Share] gives it to a group as well; a stale one is replaced. Who is neither
// root nor the user that serves may ask, and order nothing. opened is called when
// somebody could connect.
func Serve(ctx context.Context, path string, s Service, opened func()) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("cannot make the folder of the socket: %w", err)
	}
	if c, err := net.DialTimeout("unix", path, time.Second); err == nil {
		_ = c.Close()
		return fmt.Errorf("cannot serve %s: another understudy answers there — stop it first, or name another --socket", path)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("cannot replace the socket: %w", err)
	}
	old := syscall.Umask(0o077)
	l, err := net.Listen("unix", path)
	syscall.Umask(old)
	if err != nil {
		return fmt.Errorf("cannot listen on %s: %w", path, err)
	}
	opened()
	srv := &http.Server{
		Handler: Handler(s), ReadHeaderTimeout: 5 * time.Second, MaxHeaderBytes: 64 << 10,
		BaseContext: func(net.Listener) context.Context { return ctx },
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, caller{}, mayOrder(c))
		},
	}
	stop := context.AfterFunc(ctx, func() { _ = srv.Close() })
	defer stop()
	if err := srv.Serve(l); err != nil && !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("cannot serve %s: %w", path, err)
	}
	return nil
}

// Handler is the HTTP face of a service.
func Handler(s Service) http.Handler {
	mux := http.NewServeMux()
	order := func(pattern string, h http.HandlerFunc) { mux.HandleFunc(pattern, ordered(h)) }
	mux.HandleFunc("GET /v1/status", func(w http.ResponseWriter, _ *http.Request) {
		v, err := s.Status()
		answer(w, v, err)
	})
	mux.HandleFunc("GET /v1/plan", func(w http.ResponseWriter, r *http.Request) {
		v, err := s.Plan(r.URL.Query().Get("group"), r.URL.Query()["what-if"])
		answer(w, v, err)
	})
	order("POST /v1/apply", post(func(ctx context.Context, r ApplyRequest) error { return s.Apply(ctx, r) }))
	order("POST /v1/step", func(w http.ResponseWriter, r *http.Request) {
		var q ApplyRequest
		if err := read(r, &q); err != nil {
			answer(w, nil, err)
			return
		}
		v, err := s.Step(r.Context(), q)
		answer(w, v, err)
	})
	order("POST /v1/order", func(w http.ResponseWriter, r *http.Request) {
		var q OrderRequest
		if err := read(r, &q); err != nil {
			answer(w, nil, err)
			return
		}
		v, err := s.Order(r.Context(), q)
		answer(w, v, err)
	})
	order("POST /v1/stop", post(func(ctx context.Context, r StopRequest) error { return s.Stop(ctx, r) }))
	order("POST /v1/move", post(func(ctx context.Context, r MoveRequest) error { return s.Move(ctx, r) }))
	order("POST /v1/rehearse", post(func(ctx context.Context, r RehearseRequest) error { return s.Rehearse(ctx, r) }))
	order("POST /v1/confirm-down", post(func(ctx context.Context, r ConfirmRequest) error { return s.Confirm(ctx, r) }))
	order("POST /v1/clear", post(func(ctx context.Context, r Filter) error { return s.Clear(ctx, r.Group) }))
	order("POST /v1/release", post(func(ctx context.Context, r WordRequest) error { return s.Release(ctx, r) }))
	order("POST /v1/acquire", post(func(ctx context.Context, r WordRequest) error { return s.Acquire(ctx, r) }))
	order("POST /v1/change", func(w http.ResponseWriter, r *http.Request) {
		var q ChangeRequest
		if err := read(r, &q); err != nil {
			answer(w, nil, err)
			return
		}
		v, err := s.Change(r.Context(), q)
		answer(w, v, err)
	})
	mux.HandleFunc("POST /v1/history", func(w http.ResponseWriter, r *http.Request) {
		var f Filter
		if err := read(r, &f); err != nil {
			answer(w, nil, err)
			return
		}
		v, err := s.History(f)
		answer(w, v, err)
	})
	return mux
}

// caller is the key under which a connection's context says whether who called may
// order something.
type caller struct{}

// ordered lets only those through who may order something.
func ordered(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if may, ok := r.Context().Value(caller{}).(bool); !ok || !may {
			answer(w, nil, &Refusal{Code: 1, Text: "only root may order that; the group of the socket may ask for status, plan, why and history — run this as root"})
			return
		}
		h(w, r)
	}
}

func post[T any](f func(context.Context, T) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var v T
		if err := read(r, &v); err != nil {
			answer(w, nil, err)
			return
		}
		answer(w, struct{}{}, f(r.Context(), v))
	}
}

func read(r *http.Request, v any) error {
	dec := json.NewDecoder(io.LimitReader(r.Body, bodyLimit))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return &Refusal{Code: 2, Text: "cannot read the request: " + err.Error()}
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return &Refusal{Code: 2, Text: "cannot read the request: something follows it"}
	}
	return nil
}

func answer(w http.ResponseWriter, v any, err error) {
	w.Header().Set("Content-Type", "application/json")
	if err != nil {
		r, ok := errors.AsType[*Refusal](err)
		if !ok {
			r = &Refusal{Code: 1, Text: err.Error()}
		}
		w.WriteHeader(http.StatusConflict)
		v = r
	}
	_ = json.NewEncoder(w).Encode(v) // the caller went away
}

// Client asks the resident service.
type Client struct {
	Socket string
	http   *http.Client
}

// NewClient asks on the unix socket at path.
func NewClient(path string) *Client {
	return &Client{Socket: path, http: &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{Timeout: 2 * time.Second}).DialContext(ctx, "unix", path)
		},
	}}}
}

// ErrNoService says that nobody answers on the socket.
var ErrNoService = errors.New("the resident service does not answer")

func (c *Client) call(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://understudy"+path, body)
	if err != nil {
		return err
	}
	res, err := c.http.Do(req)
	if err != nil {
		if errors.Is(err, syscall.EACCES) {
			return fmt.Errorf("cannot ask the resident service on %s: the socket is root's — run this as root", c.Socket)
		}
		if errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("%w on %s — start it with `understudy run`, or name its socket with --socket", ErrNoService, c.Socket)
		}
		return fmt.Errorf("cannot ask the resident service on %s: %w", c.Socket, err)
	}
	defer res.Body.Close()
	dec := json.NewDecoder(io.LimitReader(res.Body, bodyLimit))
	if res.StatusCode != http.StatusOK {
		r := &Refusal{Code: 1, Text: res.Status}
		_ = dec.Decode(r)
		return r
	}
	return dec.Decode(out)
}

// Status asks for the status.
func (c *Client) Status(ctx context.Context) (Status, error) {
	var v Status
	err := c.call(ctx, http.MethodGet, "/v1/status", nil, &v)
	return v, err
}

// Plan asks for the plans of a group ("": all) after what-ifs.
func (c *Client) Plan(ctx context.Context, group string, whatif []string) (PlanReply, error) {
	var v PlanReply
	err := c.call(ctx, http.MethodGet, "/v1/plan?"+url.Values{"group": {group}, "what-if": whatif}.Encode(), nil, &v)
	return v, err
}

// Apply asks for one pass and waits for its end.
func (c *Client) Apply(ctx context.Context, r ApplyRequest) error {
	return c.call(ctx, http.MethodPost, "/v1/apply", r, &struct{}{})
}

// Step asks for the next step of a frozen group and waits for its end.
func (c *Client) Step(ctx context.Context, r ApplyRequest) (StepReply, error) {
	var v StepReply
	err := c.call(ctx, http.MethodPost, "/v1/step", r, &v)
	return v, err
}

// Order gives an order, or takes it back; it returns when that is recorded.
func (c *Client) Order(ctx context.Context, r OrderRequest) (OrderReply, error) {
	var v OrderReply
	err := c.call(ctx, http.MethodPost, "/v1/order", r, &v)
	return v, err
}

// Stop tells the service to stop; it returns when the service has begun to.
func (c *Client) Stop(ctx context.Context, r StopRequest) error {
	return c.call(ctx, http.MethodPost, "/v1/stop", r, &struct{}{})
}

// Move asks for a group on a node; it returns when the wish is recorded.
func (c *Client) Move(ctx context.Context, r MoveRequest) error {
	return c.call(ctx, http.MethodPost, "/v1/move", r, &struct{}{})
}

// Rehearse asks for a rehearsal; it returns when the wish is recorded.
func (c *Client) Rehearse(ctx context.Context, r RehearseRequest) error {
	return c.call(ctx, http.MethodPost, "/v1/rehearse", r, &struct{}{})
}

// Confirm records an operator's word.
func (c *Client) Confirm(ctx context.Context, r ConfirmRequest) error {
	return c.call(ctx, http.MethodPost, "/v1/confirm-down", r, &struct{}{})
}

// Clear forgets that the node failed a group.
func (c *Client) Clear(ctx context.Context, group string) error {
	return c.call(ctx, http.MethodPost, "/v1/clear", Filter{Group: group}, &struct{}{})
}

// Release says that another manager takes a group away; it returns when that may go on.
func (c *Client) Release(ctx context.Context, r WordRequest) error {
	return c.call(ctx, http.MethodPost, "/v1/release", r, &struct{}{})
}

// Acquire says that another manager has brought a group; it returns when it is served.
func (c *Client) Acquire(ctx context.Context, r WordRequest) error {
	return c.call(ctx, http.MethodPost, "/v1/acquire", r, &struct{}{})
}

// Change asks what a changed file would do, or to take it over on all nodes; it then
// returns when that has been decided and, as far as it does in time, has been done.
func (c *Client) Change(ctx context.Context, r ChangeRequest) (ChangeReply, error) {
	var v ChangeReply
	err := c.call(ctx, http.MethodPost, "/v1/change", r, &v)
	return v, err
}

// History asks for records, oldest first.
func (c *Client) History(ctx context.Context, f Filter) ([]journal.Record, error) {
	var v []journal.Record
	err := c.call(ctx, http.MethodPost, "/v1/history", f, &v)
	return v, err
}
