package prepare

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
)

// Service is one line of services(5).
type Service struct {
	Line     int // from 1
	Name     string
	Port     uint16
	Protocol string
	Aliases  []string
}

// ParseServices reads a file of the form of services(5): name, port/protocol, aliases,
// and after "#" a comment. Lines of another form are skipped, as getservbyname(3)
// skips them.
func ParseServices(text []byte) []Service {
	var out []Service
	n := 0
	for line := range bytes.Lines(text) {
		n++
		body, _, _ := strings.Cut(string(line), "#")
		f := strings.Fields(body)
		if len(f) < 2 {
			continue
		}
		port, protocol, ok := strings.Cut(f[1], "/")
		number, err := strconv.ParseUint(port, 10, 16)
		if !ok || err != nil || protocol == "" {
			continue
		}
		out = append(out, Service{Line: n, Name: f[0], Port: uint16(number), Protocol: protocol, Aliases: f[2:]})
	}
	return out
}

// called reports whether a service has a name, as its own or as an alias.
func (s Service) called(name string) bool {
	for _, a := range s.Aliases {
		if a == name {
			return true
		}
	}
	return s.Name == name
}

// The key distribution centre's line (guide, "DCE and DFS Integration on
// Standby/Takeover Node", step 9).
const (
	kerberosName     = "kerberos5"
	kerberosPort     = 88
	kerberosProtocol = "udp"
	KerberosLine     = "kerberos5\t88/udp\t\tkdc"
)

// PutService gives the text with a line added at its end, unless the same line is
// there.
func PutService(text []byte, line string) ([]byte, error) {
	if strings.ContainsAny(line, "\n\r\x00") || len(ParseServices([]byte(line))) != 1 {
		return nil, fmt.Errorf("cannot add %q: it is no line of services(5)", line)
	}
	var out bytes.Buffer
	for l := range bytes.Lines(text) {
		if strings.TrimRight(string(l), "\r\n") == line {
			return text, nil
		}
		out.Write(l)
	}
	endLine(&out)
	out.WriteString(line + "\n")
	return out.Bytes(), nil
}

// kerberos says how the port of the key distribution centre stands in a file.
func kerberos(text []byte) (state State, seen, way string) {
	var by []Service // what else is called so, or has the port
	for _, s := range ParseServices(text) {
		switch {
		case s.called(kerberosName) && s.Protocol == kerberosProtocol && s.Port == kerberosPort:
			seen = fmt.Sprintf("line %d: %s %d/%s", s.Line, s.Name, s.Port, s.Protocol)
			if s.Name != kerberosName {
				seen += ", alias " + kerberosName
			}
			// getservbyname takes the first; one before it with another port wins.
			for _, o := range by {
				if o.called(kerberosName) {
					return Blocked, fmt.Sprintf("line %d says %s %d/%s, and line %d %d/%s", o.Line, kerberosName, o.Port, o.Protocol, s.Line, s.Port, s.Protocol),
						fmt.Sprintf("take line %d out of %s", o.Line, ServicesFile)
				}
			}
			return Done, seen, ""
		case s.Protocol == kerberosProtocol && (s.called(kerberosName) || s.Port == kerberosPort):
			by = append(by, s)
		}
	}
	for _, o := range by {
		text := fmt.Sprintf("line %d says %s %d/%s", o.Line, o.Name, o.Port, o.Protocol)
		if o.called(kerberosName) {
			return Blocked, text, fmt.Sprintf("the security service is at %d/%s: correct or remove line %d of %s", kerberosPort, kerberosProtocol, o.Line, ServicesFile)
		}
		return Blocked, text, fmt.Sprintf("add the alias %s to line %d of %s", kerberosName, o.Line, ServicesFile)
	}
	return ToDo, kerberosName + " is in no line of protocol " + kerberosProtocol, ""
}
