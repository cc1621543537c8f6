package config

import (
	"fmt"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestReferenceNamesEveryKey proves that no key is undocumented: each one that the
// file structs have stands in the section of its table in reference.toml, as a
// key or, where it excludes another, as an example in a comment.
func TestReferenceNamesEveryKey(t *testing.T) {
	data, err := os.ReadFile("reference.toml")
	if err != nil {
		t.Fatal(err)
	}
	// The examples in comments are keys of the table above them.
	example := regexp.MustCompile(`(?m)^#   ([a-z_]+ = )`)
	if _, err = Parse("reference.toml", data); err != nil {
		t.Fatal(err) // among others, of keys that the structs do not have
	}
	seen := make(map[string]bool)
	root, _ := index(example.ReplaceAll(data, []byte("$1")))
	note(reflect.TypeFor[fileConfig](), root, seen)
	for typ, keys := range fileKeys {
		for _, k := range keys {
			if !seen[home(typ, k)+"."+k.name] {
				t.Errorf("reference.toml does not show %s of %s", k.name, typ.Name())
			}
		}
	}
}

// note walks the index along the structs and remembers which keys it names.
func note(typ reflect.Type, at *place, seen map[string]bool) {
	for _, k := range fileKeys[typ] {
		below, there := at.keys[k.name]
		if !there {
			continue
		}
		seen[home(typ, k)+"."+k.name] = true
		field := typ.FieldByIndex(k.field).Type
		if field.Kind() == reflect.Slice {
			field = field.Elem()
		}
		switch {
		case k.named:
			for _, table := range below.keys {
				note(field, table, seen)
			}
		case len(below.items) > 0:
			for _, table := range below.items {
				note(field, table, seen)
			}
		default:
			note(field, below, seen)
		}
	}
}

// home is the struct that a key is written in: that of an application, for the keys
// that a service shares with it.
func home(typ reflect.Type, k fileKey) string {
	for _, i := range k.field[:len(k.field)-1] {
		typ = typ.Field(i).Type
	}
	return typ.Name()
}

// TestReferenceStatesTheDefaults compares the words in reference.toml with the
// constants.
func TestReferenceStatesTheDefaults(t *testing.T) {
	data, err := os.ReadFile("reference.toml")
	if err != nil {
		t.Fatal(err)
	}
	blocks := strings.Split(string(data), "\n\n")
	// Keys whose name occurs in several tables are told apart by what follows.
	for _, d := range []struct {
		key   string
		value any
	}{
		{"key_file", DefaultKeyFile},
		{"ttl", DefaultTTL}, {"renew", DefaultRenew}, {"request", DefaultRequest}, {"margin", DefaultMargin},
		{"tick", DefaultTick}, {"election", DefaultElection}, {"peer_port", DefaultPeerPort},
		{"interval", DefaultInterval}, {"timeout", DefaultTimeout}, {"port", DefaultKeepalivePort}, {"timeout", DefaultFenceTimeout},
		{"timeout", DefaultWatchdogTimeout}, {"release", DefaultWatchdogRelease},
		{"settle", DefaultSettle}, {"restarts", DefaultRestarts}, {"restart_window", DefaultRestartWindow},
		{"failovers", DefaultFailovers}, {"failover_window", DefaultFailoverWindow}, {"unread", DefaultUnread},
		{"start_limit", DefaultStartLimit}, {"stop_limit", DefaultStopLimit},
		{"probe_limit", DefaultProbeLimit}, {"probe_interval", DefaultProbeInterval}, {"probe_failures", DefaultProbeFailures},
		{"limit", DefaultHookLimit},
	} {
		want := fmt.Sprint(d.value)
		switch v := d.value.(type) {
		case time.Duration:
			want = quote(short(v))
		case string:
			want = quote(v)
		}
		stated := slices.ContainsFunc(blocks, func(b string) bool {
			b = strings.ReplaceAll(b, "\n# ", " ")
			_, after, found := strings.Cut(b, "Default")
			return found && regexp.MustCompile(`(?m)^`+d.key+` = `).MatchString(b) && strings.Contains(after, want)
		})
		if !stated {
			t.Errorf("reference.toml does not say that the default of %s is %s", d.key, want)
		}
	}
}

// TestRules holds the table of rules against the constants.
func TestRules(t *testing.T) {
	for i, r := range Rules() {
		if want := fmt.Sprintf("C%03d", i+1); r.ID != want {
			t.Errorf("rule %d has id %s, not %s", i, r.ID, want)
		}
		if r.Sentence == "" || r.Severity != Error && r.Severity != Warning {
			t.Errorf("rule %s: %+v", r.ID, r)
		}
	}
	if len(severities) != len(rules) {
		t.Error("an id is used twice")
	}
}

// TestProfiles holds the profiles against the guide.
func TestProfiles(t *testing.T) {
	if got := strings.Join(Profiles(), " "); got != "dce dce-client dfs dfs-client krb5-kdc samba-epmapper" {
		t.Errorf("profiles: %s", got)
	}
	dce := profiles["dce"]
	if got := list(stringsOf(dce.Start.v)) + list(stringsOf(dce.Stop.v)); got != `["/usr/bin/start.dce"]["/usr/bin/stop.dce"]` {
		t.Errorf("dce: %s", got)
	}
	if got := list(stringsOf(dce.Mounts.v)) + list(stringsOf(dce.Ports.v)); got != `["/krb5", "/etc/dce", "/var/dce"]["135/tcp", "135/udp", "88/udp"]` {
		t.Errorf("dce: %s", got)
	}
	if dce.StartLimit.v != 2*time.Minute || !dce.RPCExclude.v || len(dce.RPCInterfaces.v) != 2 || len(dce.Purge) != 2 || dce.Notice.v == "" {
		t.Errorf("dce: %+v", dce)
	}
	var always, probes []string
	for _, d := range dce.Daemons {
		if !d.Optional.v {
			always = append(always, d.Name.v)
		}
	}
	for _, p := range dce.Probes {
		probes = append(probes, p.Name.v)
	}
	if got := list(always) + list(probes); got != `["dced", "secd", "cdsadv", "cdsd"]["rpc", "security", "cds"]` {
		t.Errorf("dce: %s", got)
	}
	if dfs := profiles["dfs"]; !dfs.RebootToRelease.v || len(dfs.Purge) != 0 || len(dfs.LocalPaths.v) != 1 {
		t.Errorf("dfs: %+v", dfs)
	}
	for _, kernel := range []string{"fxd", "dfsbind", "dfsd"} { // no signal ends them
		if slices.ContainsFunc(profiles["dfs"].Daemons, func(d fileDaemon) bool { return d.Name.v == kernel }) {
			t.Errorf("dfs: %s is a daemon that a stop has to end", kernel)
		}
	}
	for name, kind := range map[string]Kind{"dce": KindDCEServer, "dce-client": KindDCEClient, "dfs": KindDFSServer, "dfs-client": KindDFSClient, "krb5-kdc": KindOther, "samba-epmapper": KindOther} {
		if got := Kind(profiles[name].Kind.v); got != kind {
			t.Errorf("%s: kind %q", name, got)
		}
	}
}

// TestInheritCopiesEveryKey fails when a key is added to applications and
// forgotten where a profile fills it in.
func TestInheritCopiesEveryKey(t *testing.T) {
	app, full := &fileApplication{}, &fileApplication{}
	v := reflect.ValueOf(full).Elem()
	for _, k := range keysOf(v.Type()) {
		switch f := v.FieldByIndex(k.field).Addr().Interface().(type) {
		case *val[string]:
			f.set = true
		case *val[bool]:
			f.set = true
		case *val[int64]:
			f.set = true
		case *val[time.Duration]:
			f.set = true
		case *val[[]element]:
			f.set = true
		case *val[[]pair]:
			f.set = true
		case *[]fileDaemon:
			*f = make([]fileDaemon, 1)
		case *[]filePurge:
			*f = make([]filePurge, 1)
		case *[]fileProbe:
			*f = make([]fileProbe, 1)
		case *[]fileRequirement:
			*f = make([]fileRequirement, 1)
		default:
			t.Fatalf("%s has a type that this test does not know", k.name)
		}
	}
	profiles["full"] = full
	defer delete(profiles, "full")
	app.Profile = val[string]{v: "full", set: true}
	(&builder{report: &report{}}).applyProfile(app, "")
	got := reflect.ValueOf(app).Elem()
	for _, k := range keysOf(got.Type()) {
		if k.name != "name" && k.name != "profile" && got.FieldByIndex(k.field).IsZero() {
			t.Errorf("a profile does not fill in %s", k.name)
		}
	}
}

// TestPure holds the package to its promise: no I/O, no clock, no log.
func TestPure(t *testing.T) {
	allowed := []string{"bytes", "cmp", "crypto/sha256", "embed", "encoding/hex", "errors", "fmt", "maps", "net/netip", "path",
		"reflect", "regexp", "slices", "strconv", "strings", "time", "unicode", "unicode/utf8", "github.com/BurntSushi/toml"}
	names, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range file.Imports {
			if p := strings.Trim(i.Path.Value, `"`); !slices.Contains(allowed, p) {
				t.Errorf("%s imports %s", name, p)
			}
		}
		if src, _ := os.ReadFile(name); regexp.MustCompile(`\btime\.(Now|Since|Until|After|Sleep|New|Tick)`).Match(src) {
			t.Errorf("%s reads a clock", name)
		}
	}
}
