// Package config turns the bytes of the one TOML file into a checked [Config].
//
// What it decides: whether a file is acceptable, what every key means when it is
// left out, and which rule a finding breaks. [Parse] returns either a Config that
// is valid by construction or a list of every finding, each with rule id, line
// and way out; [Check] adds the warnings. [Rules] is the closed table behind both,
// profiles/*.toml are the defaults of known applications, and [Explain] writes a
// Config back as a file with nothing left out.
//
// How: the decoder reads the syntax (document), an index finds the line of every
// key (lines.go), a walk fills private structs that mirror the file (fill.go,
// file.go), and a builder checks them rule by rule (lease.go, machines.go,
// groups.go, storage.go, application.go).
//
// What it must never do: open a file, read a clock, look at this host, or accept
// a key it does not know. Checks that need a host (does the device exist, is the
// script root's) belong to `understudy check --host`.
//
// Who calls it: cmd (which reads the file and resolves nothing else), and every
// package that needs to know what was asked for. A new key is added in four
// places: the private file struct, the public type, reference.toml, and a rule
// test; see the recipe at the end of README.md.
package config
