package config_test

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"understudy/config"
)

// With -update the golden findings are rewritten. Read the difference before you
// commit it: every line of it is what a person will see.
var update = flag.Bool("update", false, "rewrite the golden files")

// TestFindings checks files against the exact findings, each with the line of the
// file it points at. A case NAME has two sections: NAME.toml, a whole file, or
// NAME.edit, a change to testdata/base.toml or to the file that the archive's comment
// names after "Base: "; and NAME.findings.
func TestFindings(t *testing.T) {
	base := read(t, filepath.Join("testdata", "base.toml"))
	archives, err := filepath.Glob(filepath.Join("testdata", "*.txtar"))
	if err != nil || len(archives) == 0 {
		t.Fatalf("no golden files: %v", err)
	}
	broken := make(map[string]bool)
	for _, name := range archives {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
			comment, files := parseArchive(read(t, name))
			base := base
			if _, other, ok := strings.Cut(comment, "Base: "); ok {
				base = read(t, filepath.Join("testdata", strings.TrimSpace(other)))
			}
			var out []section
			want := make(map[string]string)
			for _, f := range files {
				if c, ok := strings.CutSuffix(f.name, ".findings"); ok {
					want[c] = f.data
				}
			}
			for _, f := range files {
				kase, isFile := strings.CutSuffix(f.name, ".toml")
				data := f.data
				if !isFile {
					var isEdit bool
					if kase, isEdit = strings.CutSuffix(f.name, ".edit"); !isEdit {
						continue
					}
					data = edit(t, base, data)
				}
				got := findings(t, data, broken)
				if got != want[kase] && !*update {
					t.Errorf("%s:\n got:\n%s\nwant:\n%s", kase, got, want[kase])
				}
				out = append(out, f, section{kase + ".findings", got})
			}
			if *update {
				if err := os.WriteFile(name, []byte(formatArchive(comment, out)), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
	if *update {
		return
	}
	for _, r := range config.Rules() {
		if !broken[r.ID] {
			t.Errorf("no case breaks rule %s: %s", r.ID, r.Sentence)
		}
	}
}

// findings prints what Check says, and holds Check and Parse to their contract.
func findings(t *testing.T, data string, broken map[string]bool) string {
	t.Helper()
	c, list := config.Check("understudy.toml", []byte(data))
	lines := strings.Split(data, "\n")
	var out strings.Builder
	refused := false
	for _, f := range list {
		broken[f.Rule] = true
		refused = refused || f.Severity == config.Error
		fmt.Fprintf(&out, "%s: %s\n\t%s\n", f.Severity, f, strings.TrimSpace(lines[f.Line-1]))
	}
	if refused != (c == nil) {
		t.Errorf("an error was found: %v, but Check gave a Config: %v", refused, c != nil)
	}
	c, err := config.Parse("understudy.toml", []byte(data))
	if refused != (err != nil) || refused == (c != nil) {
		t.Errorf("an error was found: %v, but Parse returned %v, %v", refused, c, err)
	}
	var fs config.Findings
	if err != nil && !errors.As(err, &fs) {
		t.Errorf("Parse returned a %T", err)
	}
	for _, f := range fs {
		if f.Severity != config.Error {
			t.Errorf("Parse failed with a warning: %s", f)
		}
	}
	return out.String()
}

// TestOwnProfiles: a profile of the user's own stands in for an embedded one, counts
// in the hash while it is used, and is held to the rules where it stands.
func TestOwnProfiles(t *testing.T) {
	base := read(t, filepath.Join("testdata", "base.toml")) + "[[group.db.application]]\nprofile = \"dce\"\n"
	own := func(text string) map[string]config.ProfileFile {
		return map[string]config.ProfileFile{"dce": {File: "profiles/dce.toml", Data: []byte(text)}, "other": {File: "profiles/other.toml", Data: []byte("broken")}}
	}
	const good = "start = [\"/opt/start\"]\nstop = [\"/opt/stop\"]\ndaemons = [{ name = \"d\", exe = \"/opt/d\" }]\n"
	c, err := config.ParseWith("f.toml", []byte(base), own(good))
	if err != nil {
		t.Fatal(err)
	}
	if a := c.Groups[0].Applications[1]; a.Name != "dce" || a.Profile != "dce" || a.Start[0] != "/opt/start" || a.RPCExclude {
		t.Errorf("%+v", a)
	}
	if len(c.ProfileFiles) != 1 || c.ProfileFiles[0] != "profiles/dce.toml" {
		t.Errorf("profiles in use: %v", c.ProfileFiles)
	}
	other, err := config.ParseWith("f.toml", []byte(base), own(good+"notice = \"x\"\n"))
	if err != nil || other.Hash == c.Hash {
		t.Errorf("the hash is the same after a change of a profile in use: %v", err)
	}
	unused := strings.Replace(base, `profile = "dce"`, "name = \"x\"\nrun = [\"/bin/x\"]", 1)
	c, err = config.ParseWith("f.toml", []byte(unused), own(good))
	if plain, err2 := config.Parse("f.toml", []byte(unused)); err != nil || err2 != nil || plain.Hash != c.Hash || c.ProfileFiles != nil {
		t.Errorf("a profile that is not used counts: %v, %v", err, err2)
	}

	_, err = config.ParseWith("f.toml", []byte(base+"[[group.db.application]]\nprofile = \"dce\"\nname = \"two\"\n"),
		own("start = [\"start\"]\n\nstop = 5\nname = \"dce\"\npurge = [{ path = \"x\" }]\n"))
	want := `profiles/dce.toml:1: profile: start begins with "start" [C010] — write the absolute path of the program; there is no shell and no PATH
profiles/dce.toml:3: stop is an integer, not a list of strings such as ["a", "b"] [C003] — write a list of strings such as ["a", "b"]
profiles/dce.toml:4: a profile has no name [C054] — take it out: the file that uses the profile says that
profiles/dce.toml:5: profile: purge "x" is not absolute [C009] — begin with /`
	if err == nil || err.Error() != want {
		t.Errorf("got:\n%v\nwant:\n%s", err, want)
	}
}

// edit applies blocks of "- old" and "+ new" lines to a file. A block without old
// lines is added at the end.
func edit(t *testing.T, base, change string) string {
	t.Helper()
	var from, to string
	apply := func() {
		switch {
		case from == "":
			base += to
		case strings.Count("\n"+base, "\n"+from) != 1:
			t.Fatalf("not exactly once in the base:\n%s", from)
		default:
			base = strings.Replace("\n"+base, "\n"+from, "\n"+to, 1)[1:]
		}
		from, to = "", ""
	}
	for line := range strings.Lines(change) {
		switch {
		case strings.HasPrefix(line, "-"):
			if to != "" {
				apply()
			}
			from += strings.TrimPrefix(line[1:], " ")
		case strings.HasPrefix(line, "+"):
			to += strings.TrimPrefix(line[1:], " ")
		default:
			t.Fatalf("an edit has lines with - and + only, not %q", line)
		}
	}
	apply()
	return base
}

func read(t testing.TB, name string) string {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// TestHostile parses large input that is made to hurt: deep nesting would overflow
// the decoder's stack, which nothing can recover from.
func TestHostile(t *testing.T) {
	const size = 4 << 20
	for name, unit := range map[string]string{
		"arrays": "[", "arrays with comments": "[#]\n", "tables": "{a=", "headers": "[[a]]\n", "dots": "a.", "quotes": `"`, "newlines": "\n", "braces": "}",
	} {
		data := []byte("a = " + strings.Repeat(unit, (size-8)/len(unit)))
		if _, err := config.Parse("hostile.toml", data); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := config.Parse("hostile.toml", make([]byte, size+1)); err == nil {
		t.Error("a file of more than 4 MiB is accepted")
	}
	deepKey := []byte(strings.Repeat("a.", size/2-8) + "a = 1\n")
	if _, err := config.Parse("hostile.toml", deepKey); err == nil {
		t.Error("a key of two million parts is accepted")
	}
}
