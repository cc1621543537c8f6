package main

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"understudy/cmd/internal/api"
	"understudy/observers"
)

// keySize is the least length of a shared secret, in bytes.
const keySize = 32

// readKeys reads the shared secrets, readable by root alone: each is base64 of at
// least 32 bytes, and an empty line stands between two. The first signs, and all
// are believed; there is one but for the time of a rotation.
func readKeys(path string) ([][]byte, error) {
	how := fmt.Sprintf("make it once with: head -c %d /dev/urandom | base64 >%s; chmod 600 %s — and copy it to every machine", keySize, path, path)
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read the shared key: %w — %s", err, how)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("cannot trust the shared key %s: mode %04o lets others read it — chmod 600 %s", path, info.Mode().Perm(), path)
	}
	if err := trust(path); err != nil {
		return nil, err
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read the shared key: %w", err)
	}
	keys, err := parseKeys(data)
	if err != nil {
		return nil, fmt.Errorf("cannot use the shared key %s: %w — %s", path, err, how)
	}
	return keys, nil
}

// parseKeys reads the text of a file of secrets. No secret stands in its errors.
func parseKeys(data []byte) ([][]byte, error) {
	var keys [][]byte
	for text := range strings.SplitSeq(strings.ReplaceAll(strings.TrimSpace(string(data)), "\r", ""), "\n\n") {
		if text = strings.TrimSpace(text); text == "" && len(keys) > 0 {
			continue // more than one empty line
		}
		key, err := base64.StdEncoding.DecodeString(text) // which passes over the ends of lines
		which := "it"
		if n := len(keys) + 1; n > 1 {
			which = fmt.Sprintf("key %d of it", n)
		}
		switch {
		case err != nil || len(key) < keySize:
			return nil, fmt.Errorf("%s is not base64 of %d bytes or more", which, keySize)
		case slices.ContainsFunc(keys, func(k []byte) bool { return bytes.Equal(k, key) }):
			return nil, fmt.Errorf("%s stands there twice", which)
		}
		keys = append(keys, key)
	}
	return keys, nil
}

// writeKeys replaces the file of secrets, whole or not at all.
func writeKeys(path string, keys [][]byte) error {
	var text []string
	for _, key := range keys {
		text = append(text, base64.StdEncoding.EncodeToString(key)+"\n")
	}
	behind, err := filepath.EvalSymlinks(path)
	if err != nil {
		return fmt.Errorf("cannot write the shared key: %w", err)
	}
	f, err := os.CreateTemp(filepath.Dir(behind), ".key-") // mode 0600
	if err != nil {
		return fmt.Errorf("cannot write the shared key: %w", err)
	}
	_, err = f.WriteString(strings.Join(text, "\n"))
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), behind)
	}
	if err != nil {
		return fmt.Errorf("cannot write the shared key %s: %w — it is as it was", path, errors.Join(err, os.Remove(f.Name())))
	}
	d, err := os.Open(filepath.Dir(behind))
	if err != nil {
		return fmt.Errorf("cannot flush the folder of the shared key: %w", err)
	}
	return errors.Join(d.Sync(), d.Close())
}

// keyring is the file of secrets with who believes which, as far as the resident
// service knows.
type keyring struct {
	path   string
	keys   [][]byte
	status *api.Status // nil: no service answers
}

func (c *common) keyring(cmd *cobra.Command) (keyring, error) {
	cfg, err := c.load()
	if err != nil {
		return keyring{}, err
	}
	keys, err := readKeys(cfg.KeyFile)
	if err != nil {
		return keyring{}, err
	}
	r := keyring{path: cfg.KeyFile, keys: keys}
	st, err := c.client().Status(cmd.Context())
	switch {
	case err == nil:
		r.status = &st
	case !errors.Is(err, api.ErrNoService):
		return keyring{}, err
	}
	return r, nil
}

// unlike are the machines of which it is not known that their keys are as wanted,
// each with why.
func (r keyring) unlike(wanted func(ids []string) bool) []string {
	if r.status == nil {
		return []string{"the resident service of this machine does not answer"}
	}
	var out []string
	if !wanted(r.status.Keys) {
		out = append(out, r.status.Node+" has "+strings.Join(r.status.Keys, ", ")+" in force")
	}
	for _, p := range r.status.Peers {
		switch {
		case p.State != "heard" || len(p.Keys) == 0:
			out = append(out, p.Name+" is not heard")
		case !wanted(p.Keys):
			out = append(out, p.Name+" has "+strings.Join(p.Keys, ", ")+" in force")
		}
	}
	return out
}

func keyCommand(c *common) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "key",
		Short: "show the cluster's secrets by their ids, and change them without a stop",
		Long: `Show the ids of the secrets in the key file and which machine believes which.

A secret is changed in three rounds, and the service goes on all the time. In
each round the file is changed on one machine, copied to all others, and
understudy is started again on one after the other (stop --mode leave, then
start):

  understudy key add       another secret is believed, and not yet used
  understudy key promote   it signs from now on; the old one is still believed
  understudy key retire    the old one is not believed any more

promote and retire refuse until every machine is heard to have the round before
in force. A store on a disk keeps the secret it was made with: retire that one
only when the store is made anew. An etcd that is not ours has certificates of
its own.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			r, err := c.keyring(cmd)
			if err != nil {
				return err
			}
			return r.show(c)
		},
	}
	cmd.AddCommand(keyChange(c, "add", "add a new secret that is believed and not yet used", func(r keyring) ([][]byte, []string, string) {
		key := make([]byte, keySize)
		_, _ = rand.Read(key) // never fails
		var why []string
		if len(r.keys) > 1 {
			why = []string{r.path + " has more than one already: a rotation is under way"}
		}
		return append(slices.Clone(r.keys), key), why, "promote"
	}))
	cmd.AddCommand(keyChange(c, "promote", "let the newest secret sign", func(r keyring) ([][]byte, []string, string) {
		last := r.keys[len(r.keys)-1]
		why := r.unlike(func(ids []string) bool { return slices.Contains(ids, observers.KeyID(last)) })
		if len(r.keys) == 1 {
			why = []string{r.path + " has one only: understudy key add"}
		}
		return append([][]byte{last}, r.keys[:len(r.keys)-1]...), why, "retire"
	}))
	cmd.AddCommand(keyChange(c, "retire", "believe none but the secret that signs", func(r keyring) ([][]byte, []string, string) {
		first := observers.KeyID(r.keys[0])
		why := r.unlike(func(ids []string) bool { return len(ids) > 0 && ids[0] == first })
		if len(r.keys) == 1 {
			why = []string{r.path + " has one only"}
		}
		return r.keys[:1], why, ""
	}))
	return cmd
}

// keyChange is a verb that changes the key file. change returns the secrets as they
// will be, why it must not be yet, and the verb of the next round.
func keyChange(c *common, name, short string, change func(keyring) ([][]byte, []string, string)) *cobra.Command {
	force := false
	cmd := &cobra.Command{
		Use: name, Short: short, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			r, err := c.keyring(cmd)
			if err != nil {
				return err
			}
			keys, why, next := change(r)
			if len(why) > 0 && !force {
				return &exitError{exitBlocked, fmt.Sprintf("cannot %s a key: %s — make every machine ready first, or say --force and lose those that are not", name, strings.Join(why, "; "))}
			}
			if err := writeKeys(r.path, keys); err != nil {
				return err
			}
			r.keys = keys
			if err := r.show(c); err != nil || c.json {
				return err
			}
			then := ""
			if next != "" {
				then = ", then: understudy key " + next
			}
			_, err = fmt.Fprintf(c.out, "now copy %s to every other machine, and on one after the other:\n  understudy stop --mode leave; systemctl start understudy%s\n", r.path, then)
			return err
		},
	}
	cmd.Flags().BoolVar(&force, "force", false, "whatever the other machines have")
	return cmd
}

// keyLine is a secret for a program.
type keyLine struct {
	ID        string   `json:"id"`
	Signs     bool     `json:"signs"`
	Believers []string `json:"believed_by"` // machines that have it in force
	Signers   []string `json:"signed_by"`   // machines that sign with it
}

func (r keyring) show(c *common) error {
	var lines []keyLine
	for i, key := range r.keys {
		l := keyLine{ID: observers.KeyID(key), Signs: i == 0, Believers: []string{}, Signers: []string{}}
		has := func(machine string, ids []string) {
			if slices.Contains(ids, l.ID) {
				l.Believers = append(l.Believers, machine)
			}
			if len(ids) > 0 && ids[0] == l.ID {
				l.Signers = append(l.Signers, machine)
			}
		}
		if r.status != nil {
			has(r.status.Node, r.status.Keys)
			for _, p := range r.status.Peers {
				if p.State == "heard" {
					has(p.Name, p.Keys)
				}
			}
		}
		lines = append(lines, l)
	}
	if c.json {
		return json.NewEncoder(c.out).Encode(lines)
	}
	for _, l := range lines {
		what := "believed"
		if l.Signs {
			what = "signs"
		}
		inForce := "the service does not answer"
		if r.status != nil {
			inForce = "in force on " + orNone(l.Believers) + "; signs on " + orNone(l.Signers)
		}
		fmt.Fprintf(c.out, "%s  %-8s  %s\n", l.ID, what, inForce)
	}
	return nil
}

func orNone(list []string) string {
	if len(list) == 0 {
		return "none"
	}
	return strings.Join(list, ", ")
}
