// Package chaos holds the chaos run of the tests: three minutes of `understudy lab
// chaos` with a store of each kind, as a person starts it. It is a package of its own
// so that it can run beside the others, which need the processors now and then
// where this one needs the time.
//
// It decides nothing and nobody calls it. A longer run is a command:
//
//	understudy lab chaos --for 30m
package chaos
