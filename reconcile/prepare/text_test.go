package prepare

import (
	"bytes"
	"slices"
	"strings"
	"testing"
)

func TestPutVariable(t *testing.T) {
	const key, value = "RPC_UNSUPPORTED_NETADDRS", "9.3.240.1:9.3.240.66" // the guide's example
	for _, c := range []struct{ name, in, value, want string }{
		{"empty", "", value, key + "=" + value + "\n"},
		{"appended", "PATH=/bin\n", value, "PATH=/bin\n" + key + "=" + value + "\n"},
		{"no end of line", "PATH=/bin", value, "PATH=/bin\n" + key + "=" + value + "\n"},
		{"in its place", "A=1\n" + key + "=1.2.3.4\nB=2\n", value, "A=1\n" + key + "=" + value + "\nB=2\n"},
		{"one line only", key + "=1.2.3.4\nA=1\nexport " + key + "=\"5.6.7.8\"\n", value, key + "=" + value + "\nA=1\n"},
		{"a comment is no line of it", "#" + key + "=1\n", value, "#" + key + "=1\n" + key + "=" + value + "\n"},
		{"a longer key is another", key + "_OLD=1\nX" + key + "=2\n", value, key + "_OLD=1\nX" + key + "=2\n" + key + "=" + value + "\n"},
		{"other bytes stay", "\t# strange \xff\r\nA='b c'\n\n", value, "\t# strange \xff\r\nA='b c'\n\n" + key + "=" + value + "\n"},
		{"taken out", "A=1\n" + key + "=1\n" + key + "=2\n", "", "A=1\n"},
		{"nothing to take out", "A=1", "", "A=1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := PutVariable([]byte(c.in), key, c.value)
			if err != nil || string(got) != c.want {
				t.Fatalf("%q, %v; want %q", got, err, c.want)
			}
			again, err := PutVariable(got, key, c.value)
			if err != nil || !bytes.Equal(again, got) {
				t.Errorf("a second time: %q, %v", again, err)
			}
		})
	}
	for _, bad := range [][2]string{{"A B", "1"}, {"", "1"}, {"1A", "x"}, {"A", "1\n2"}, {"A", "1\x00"}} {
		if _, err := PutVariable(nil, bad[0], bad[1]); err == nil {
			t.Errorf("%q was written", bad)
		}
	}
}

func FuzzPutVariable(f *testing.F) {
	f.Add([]byte("PATH=\"/bin\"\n# x\nexport A='b'\nRPC_UNSUPPORTED_NETADDRS=1\n"), "9.3.240.1:9.3.240.66")
	f.Add([]byte("A"), "")
	f.Fuzz(func(t *testing.T, text []byte, value string) {
		const key = "RPC_UNSUPPORTED_NETADDRS"
		out, err := PutVariable(text, key, value)
		if err != nil {
			return
		}
		have := Variables(out)
		if got := have[key]; value == "" && len(got) != 0 || value != "" && len(got) != 1 {
			t.Fatalf("%q gives %q: %q", text, out, got)
		}
		before := Variables(text)
		delete(before, key)
		delete(have, key)
		for k, v := range before {
			if !slices.Equal(have[k], v) {
				t.Fatalf("%s was %q and is %q", k, v, have[k])
			}
		}
		if again, _ := PutVariable(out, key, value); !bytes.Equal(again, out) {
			t.Fatalf("not the same a second time: %q, %q", out, again)
		}
	})
}

func TestKerberosPort(t *testing.T) {
	for _, c := range []struct {
		name, in string
		want     State
		seen     string
	}{
		{"the guide's line", KerberosLine + "\n", Done, "kerberos5 88/udp"},
		{"an alias, as Debian has it", "kerberos\t88/tcp\t\tkerberos5 krb5 # v5\nkerberos\t88/udp\t\tkerberos5 krb5\n", Done, "alias kerberos5"},
		{"absent", "ssh 22/tcp\n", ToDo, "no line"},
		{"a comment", "# kerberos5\t88/udp kdc\n", ToDo, "no line"},
		{"behind a comment", "x 1/udp # kerberos5\n", ToDo, "no line"},
		{"another protocol", "kerberos5 88/tcp kdc\n", ToDo, "no line"},
		{"a name that begins so", "kerberos5t 88/tcp\nkerberos5x 90/udp\n", ToDo, "no line"}, // what the printed pattern matches
		{"another port", "a 1/udp\nkerberos5 750/udp\n", Blocked, "line 2 says kerberos5 750/udp"},
		{"another port first", "kerberos5 750/udp\nkerberos5 88/udp\n", Blocked, "line 1"},
		{"another name", "kdc 88/udp\n", Blocked, "line 1 says kdc 88/udp"},
		{"another name, and ours", "kdc 88/udp\nkerberos5 88/udp\n", Done, "line 2"},
		{"nothing", "", ToDo, "no line"},
		{"no services at all", "junk\nx y/udp\nz 99999/udp\n", ToDo, "no line"},
	} {
		t.Run(c.name, func(t *testing.T) {
			state, seen, _ := kerberos([]byte(c.in))
			if state != c.want || !strings.Contains(seen, c.seen) {
				t.Errorf("%s: %s; want %s: …%s…", state, seen, c.want, c.seen)
			}
			if state != ToDo {
				return
			}
			out, err := PutService([]byte(c.in), KerberosLine)
			if err != nil || !bytes.HasPrefix(out, []byte(c.in)) {
				t.Fatalf("%q, %v", out, err)
			}
			if state, seen, _ := kerberos(out); state != Done {
				t.Errorf("after it: %s: %s", state, seen)
			}
			if again, err := PutService(out, KerberosLine); err != nil || !bytes.Equal(again, out) {
				t.Errorf("a second time: %q, %v", again, err)
			}
		})
	}
	if KerberosLine != "kerberos5\t88/udp\t\tkdc" {
		t.Error("the line is not the guide's")
	}
	for _, bad := range []string{"", "kerberos5", "a 1/udp\nb 2/udp", "x y/z"} {
		if _, err := PutService(nil, bad); err == nil {
			t.Errorf("%q was added", bad)
		}
	}
}

func FuzzParseServices(f *testing.F) {
	f.Add([]byte("kerberos\t88/udp\t\tkerberos5 krb5\t# Kerberos v5\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		for _, s := range ParseServices(text) {
			if s.Name == "" || s.Protocol == "" || s.Line < 1 {
				t.Fatalf("%+v", s)
			}
		}
		if state, _, _ := kerberos(text); state == ToDo {
			out, err := PutService(text, KerberosLine)
			if err != nil {
				t.Fatal(err)
			}
			if state, seen, _ := kerberos(out); state != Done {
				t.Fatalf("%q: %s, %s", out, state, seen)
			}
		}
	})
}

func TestFstab(t *testing.T) {
	for _, c := range []struct {
		name, line string
		boot       bool
		now        string
	}{
		{"defaults", "/dev/dcevg/krb5lv\t/krb5   ext4  defaults 0 2", true, "/dev/dcevg/krb5lv\t/krb5   ext4  defaults,noauto 0 2"},
		{"noauto", "/dev/x /krb5 ext4 ro,noauto 0 0", false, "/dev/x /krb5 ext4 ro,noauto 0 0"},
		{"auto", "/dev/x /krb5 ext4 auto,ro", true, "/dev/x /krb5 ext4 ro,noauto"},
		{"automount", "/dev/x /krb5 ext4 noauto,x-systemd.automount,ro 0 0", true, "/dev/x /krb5 ext4 noauto,ro 0 0"},
		{"wanted", "/dev/x /krb5 ext4 x-systemd.wanted-by=multi-user.target,noauto", true, "/dev/x /krb5 ext4 noauto"},
		{"no options", "/dev/x /krb5 ext4", true, "/dev/x /krb5 ext4 noauto"},
		{"blanks at the end", "/dev/x /krb5 ext4  ", true, "/dev/x /krb5 ext4 noauto"},
		{"indented", "  /dev/x /krb5 ext4 rw 0 0", true, "  /dev/x /krb5 ext4 rw,noauto 0 0"},
		{"mangled", `LABEL=a\040b /srv/a\040b/ ext4 rw`, true, `LABEL=a\040b /srv/a\040b/ ext4 rw,noauto`},
	} {
		t.Run(c.name, func(t *testing.T) {
			text := "# a comment of four words\n\n" + c.line + "\n/dev/root / ext4 rw 0 1"
			lines := ParseFstab([]byte(text))
			if len(lines) != 2 || lines[0].Line != 3 || lines[0].AtBoot() != c.boot {
				t.Fatalf("%+v", lines)
			}
			if got := lines[0].ByHandOnly(); got != c.now {
				t.Errorf("%q, want %q", got, c.now)
			}
			out, err := PutLine([]byte(text), 3, c.line, c.now)
			if err != nil || string(out) != strings.Replace(text, c.line, c.now, 1) {
				t.Errorf("%q, %v", out, err)
			}
			if now := ParseFstab(out); now[0].AtBoot() {
				t.Errorf("still mounted at boot: %+v", now[0])
			}
			if again, err := PutLine(out, 3, c.line, c.now); err != nil || !bytes.Equal(again, out) {
				t.Errorf("a second time: %q, %v", again, err)
			}
			if _, err := PutLine([]byte("a\nb\nc\n"), 3, c.line, c.now); err == nil {
				t.Error("another line was replaced")
			}
			if _, err := PutLine([]byte("a\n"), 3, c.line, c.now); err == nil {
				t.Error("a line that is not there was replaced")
			}
		})
	}
	if l := ParseFstab([]byte(`LABEL=a\040b /srv/a\040b/ ext4 rw`)); l[0].Point != "/srv/a b" || l[0].Spec != "LABEL=a b" {
		t.Errorf("%+v", l)
	}
}

func FuzzFstab(f *testing.F) {
	f.Add([]byte("UUID=1-2 /krb5 ext4 defaults,x-systemd.automount 0 2\r\n#c\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		for _, l := range ParseFstab(text) {
			now := l.ByHandOnly()
			out, err := PutLine(text, l.Line, l.Text, now)
			if err != nil {
				t.Fatal(err)
			}
			for _, n := range ParseFstab(out) {
				if n.Line == l.Line && (n.AtBoot() || n.Point != l.Point || n.Spec != l.Spec || n.Type != l.Type) {
					t.Fatalf("%q became %q", l.Text, n.Text)
				}
			}
		}
	})
}

func TestCell(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"cellname /.../cell1.example.com\nhostname hosts/alpha\n", "cell1.example.com"},
		{"hostname hosts/alpha\ncellname   /.../c/d\n", "c/d"},
		{"cellname cell1\n", "cell1"},
		{"", ""}, {"hostname hosts/alpha\n", ""}, {"cellname\n", ""}, {"cellname /.../\n", ""},
		{"cellname /.../../etc\n", ""}, {"cellname /.../a//b\n", ""}, {"cellname /.../a/\n", ""}, {"cellname /.../a'b\n", ""},
		{"cellname /.../cell_name\n", ""}, // the placeholder of the guide
		{"cellname a b\n", ""}, {"cellname \xff\n", ""},
	} {
		got, err := ParseCell([]byte(c.in))
		if got != c.want || (err == nil) != (c.want != "") {
			t.Errorf("%q: %q, %v", c.in, got, err)
		}
	}
}

func FuzzParseCell(f *testing.F) {
	f.Add([]byte("cellname /.../cell1.example.com\nhostname hosts/alpha\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if cell, err := ParseCell(text); err == nil && (cell == "" || strings.ContainsAny(cell, " \n'\"") || strings.Contains("/"+cell+"/", "/../")) {
			t.Fatalf("%q", cell)
		}
	})
}

func TestVersions(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{
		{"3.1", "3.1", 0}, {"3.1.0", "3.1", 0}, {"3.10", "3.9", 1}, {"3.1", "3.2", -1}, {"4", "3.9.9", 1},
		{"3.1", "3.1.0.1", -1}, {"03.1", "3.1", 0}, {"99999999999999999999999", "2", 1}, {"", "0", 0},
	} {
		if got := CompareVersions(c.a, c.b); got != c.want {
			t.Errorf("%s and %s: %d, want %d", c.a, c.b, got, c.want)
		}
		if got := CompareVersions(c.b, c.a); got != -c.want {
			t.Errorf("%s and %s: %d, want %d", c.b, c.a, got, -c.want)
		}
	}
	for in, want := range map[string]string{
		"Kerberos 5 version 1.20.1": "1.20.1", "dce.client.core.rte 3.1.0.0 COMMITTED": "3.1.0.0", "AIX 4": "4", "none": "", "v2, build 17.3": "17.3",
	} {
		if got := Version(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestActivationList(t *testing.T) {
	for _, c := range []struct {
		name, in string
		want     []string
		ok       bool
	}{
		{"not set", "activation {\n}\n", nil, false},
		{"commented", "activation {\n\t# auto_activation_volume_list = [ \"vg1\" ]\n}\n", nil, false},
		{"empty", "auto_activation_volume_list = [ ]", []string{}, true},
		{"list", "activation {\n  auto_activation_volume_list = [ \"vg1\", \"vg2/lv\", \"@t#1\" ] # x\n}", []string{"vg1", "vg2/lv", "@t#1"}, true},
		{"string", "activation/auto_activation_volume_list = \"vg1\"\n", []string{"vg1"}, true},
		{"several lines", "auto_activation_volume_list=[\"a\",\n# c\n\"b\"\n]", []string{"a", "b"}, true},
		{"another key", "my_auto_activation_volume_list = [ \"a\" ]", nil, false},
		{"not closed", "auto_activation_volume_list = [ \"a\"", nil, false},
		{"the last counts", "auto_activation_volume_list = [\"a\"]\nauto_activation_volume_list = [\"b\"]", []string{"b"}, true},
	} {
		if got, ok := ActivationList([]byte(c.in)); ok != c.ok || !slices.Equal(got, c.want) {
			t.Errorf("%s: %q %v", c.name, got, ok)
		}
	}
}

func FuzzActivationList(f *testing.F) {
	f.Add([]byte("activation {\n\tauto_activation_volume_list = [ \"vg1\", \"@*\" ]\n}\n"))
	f.Fuzz(func(_ *testing.T, text []byte) { ActivationList(text) })
}

func TestUnitNames(t *testing.T) { // as systemd-escape -p prints them
	for in, want := range map[string]string{
		"/krb5": "krb5", "/var/dce": "var-dce", "/var/dce/adm/dfs/cache": "var-dce-adm-dfs-cache", "/srv/a-b c": `srv-a\x2db\x20c`, "/.x": `\x2ex`,
	} {
		if got := unitName(in); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}
