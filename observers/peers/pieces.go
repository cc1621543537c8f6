package peers

import (
	"encoding/json"
	"fmt"

	"understudy/reconcile"
)

// maxPieces bounds a status in pieces: the count is one byte.
const maxPieces = 255

// pieces puts a status together that came in several packets.
type pieces struct {
	version uint32 // being put together
	have    int
	part    [][]byte
	done    uint32 // version that was told last; zero: none
}

// add takes a piece and returns the whole text once all pieces of a newer version
// than the last are there, else nil. A piece of an older version is left out.
func (s *pieces) add(c chunk) []byte {
	if c.of == 0 || c.index >= c.of || c.version <= s.done || c.version < s.version {
		return nil
	}
	if c.version != s.version || len(s.part) != int(c.of) {
		s.version, s.have, s.part = c.version, 0, make([][]byte, c.of)
	}
	if s.part[c.index] == nil {
		s.part[c.index] = append(make([]byte, 0, len(c.text)+1), c.text...)
		s.have++
	}
	if s.have < len(s.part) {
		return nil
	}
	var text []byte
	for _, p := range s.part {
		text = append(text, p...)
	}
	s.done, s.part, s.have = s.version, nil, 0
	return text
}

// cut makes pieces of at most size bytes; at least one.
func cut(text []byte, size int) [][]byte {
	var out [][]byte
	for len(text) > size {
		out, text = append(out, text[:size]), text[size:]
	}
	return append(out, text)
}

// encode turns a status into at most maxPieces pieces of size bytes. A status too
// large for them is sent without its reasons.
func encode(s reconcile.NodeStatus, size int) ([][]byte, error) {
	text, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("cannot send this node's status: %w", err)
	}
	if out := cut(text, size); len(out) <= maxPieces {
		return out, nil
	}
	short := s
	short.Groups = nil
	for _, g := range s.Groups {
		g.Reason = ""
		short.Groups = append(short.Groups, g)
	}
	if text, err = json.Marshal(short); err != nil {
		return nil, fmt.Errorf("cannot send this node's status: %w", err)
	}
	out := cut(text, size)
	if len(out) > maxPieces {
		return nil, fmt.Errorf("cannot send this node's status: %d groups do not fit into %d packets", len(s.Groups), maxPieces)
	}
	return out, nil
}
