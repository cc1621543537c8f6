package act

import (
	"encoding/xml"
	"fmt"
	"strings"

	"understudy/config"
)

// AgentMetadata is what a fence agent says of itself (FenceAgentAPI of
// ClusterLabs/fence-agents).
type AgentMetadata struct {
	Name       string           `xml:"name,attr"`
	ShortDesc  string           `xml:"shortdesc,attr"`
	Parameters []AgentParameter `xml:"parameters>parameter"`
	Actions    []AgentAction    `xml:"actions>action"`
}

// AgentParameter is one option of an agent.
type AgentParameter struct {
	Name      string       `xml:"name,attr"`
	Required  string       `xml:"required,attr"` // "1" if it has to be given
	Obsoletes string       `xml:"obsoletes,attr"`
	Content   AgentContent `xml:"content"`
}

// AgentContent is the type of an option: string, boolean, integer, second or
// select, which names its choices.
type AgentContent struct {
	Type    string        `xml:"type,attr"`
	Default *string       `xml:"default,attr"` // nil: none
	Options []AgentChoice `xml:"option"`
}

// AgentChoice is one value of a select.
type AgentChoice struct {
	Value string `xml:"value,attr"`
}

// AgentAction is one thing that an agent can do.
type AgentAction struct {
	Name string `xml:"name,attr"`
}

// parseMetadata reads an agent's metadata.
func parseMetadata(b []byte) (AgentMetadata, error) {
	var doc struct {
		XMLName xml.Name `xml:"resource-agent"`
		AgentMetadata
	}
	if err := xml.Unmarshal(b, &doc); err != nil {
		return AgentMetadata{}, fmt.Errorf("cannot read the agent's metadata: %w", err)
	}
	m := doc.AgentMetadata
	if m.Name == "" || len(m.Parameters) == 0 || len(m.Actions) == 0 {
		return AgentMetadata{}, fmt.Errorf("cannot read the agent's metadata: name, parameters or actions are missing")
	}
	return m, nil
}

// Can reports whether the agent has an action.
func (m AgentMetadata) Can(action string) bool {
	for _, a := range m.Actions {
		if a.Name == action {
			return true
		}
	}
	return false
}

// CheckOptions compares declared options with an agent's metadata. unknown are
// those that the agent does not know or whose value is none of its choices;
// missing are those that it requires and that have no default. The action is set
// by this program. A name that ends in "_file" stands for the one without.
func CheckOptions(m AgentMetadata, options []config.Option) (unknown, missing []string) {
	byName := make(map[string]AgentParameter, len(m.Parameters))
	for _, p := range m.Parameters {
		byName[p.Name] = p
	}
	given := make(map[string]bool)
	for _, o := range options {
		name, secret := optionName(o.Key)
		given[name] = true
		p, ok := byName[name]
		switch {
		case !ok || name == "action":
			unknown = append(unknown, o.Key)
		case !secret && p.Content.Type == "select" && !p.Content.offers(o.Value):
			unknown = append(unknown, o.Key+"="+o.Value)
		}
	}
	for _, p := range m.Parameters { // an old name stands for its new one, and the other way round
		if p.Obsoletes != "" && (given[p.Name] || given[p.Obsoletes]) {
			given[p.Name], given[p.Obsoletes] = true, true
		}
	}
	for _, p := range m.Parameters {
		if p.Required != "1" || p.Content.Default != nil || given[p.Name] || p.Name == "action" {
			continue
		}
		missing = append(missing, p.Name)
	}
	return unknown, missing
}

func (c AgentContent) offers(value string) bool {
	for _, o := range c.Options {
		if o.Value == value {
			return true
		}
	}
	return false
}

// ownFiles are parameters of agents in fence-agents 4.12 that end in "_file"
// themselves and name a file that the agent reads or writes. They are passed as
// they are.
var ownFiles = map[string]bool{
	"cookie_file": true, "debug_file": true, "identity_file": true, "status_file": true, "token_file": true,
}

// optionName is the agent's name for a declared option, and whether its value is
// to be read from a file.
func optionName(key string) (name string, fromFile bool) {
	if name, ok := strings.CutSuffix(key, "_file"); ok && !ownFiles[key] {
		return name, true
	}
	return key, false
}
