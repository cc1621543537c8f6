//go:build !aix

package etcd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/transport"
	clientv3 "go.etcd.io/etcd/client/v3"

	"understudy/config"
	"understudy/reconcile/lease"
)

// Client is the store in an etcd cluster that exists already.
type Client struct {
	lease.Store
	client *clientv3.Client
}

// NewClient makes a client of the cluster that cfg.Lease names. It does not wait
// for a connection; ctx bounds nothing but this call.
func NewClient(ctx context.Context, cfg *config.Config, log *slog.Logger) (*Client, error) {
	l := cfg.Lease
	if len(l.Endpoints) == 0 {
		return nil, errors.New("cannot reach etcd: lease.endpoints is empty — name its URLs")
	}
	c := clientv3.Config{
		Endpoints:   l.Endpoints,
		Context:     context.WithoutCancel(ctx),
		DialTimeout: 0, // do not wait: every call has a limit of its own
		// A silent endpoint is given up within these two and another one tried.
		// 5 s is the shortest interval that servers accept by default.
		DialKeepAliveTime:    5 * time.Second,
		DialKeepAliveTimeout: time.Second,
		RejectOldCluster:     false,
		Logger:               newLogger(log, func(string) {}),
	}
	if l.TLS != (config.TLS{}) {
		info := transport.TLSInfo{CertFile: l.TLS.Cert, KeyFile: l.TLS.Key, TrustedCAFile: l.TLS.CA, ClientCertAuth: l.TLS.Cert != ""}
		t, err := info.ClientConfig()
		if err != nil {
			return nil, fmt.Errorf("cannot read the certificates of lease.tls: %w", err)
		}
		c.TLS = t
	}
	client, err := clientv3.New(c)
	if err != nil {
		return nil, fmt.Errorf("cannot reach etcd: %w", err)
	}
	return &Client{newStore(client, cfg.Cluster), client}, nil
}

// Run waits until ctx ends and closes the client.
func (c *Client) Run(ctx context.Context) error {
	<-ctx.Done()
	return c.Close()
}

// Close ends the client.
func (c *Client) Close() error {
	if err := c.client.Close(); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}
