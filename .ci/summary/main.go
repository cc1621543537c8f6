// Summary reads the JSON of `go test -json` and prints what a person wants to
// know: a line per package, everything that a failed or skipped test printed, and
// the numbers. It exits 1 if a test failed, or was skipped while running as root.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"strings"
)

type event struct {
	Action, Package, Test, Output string
	Elapsed                       float64
}

func main() {
	output := map[string][]string{}
	children := map[string]bool{} // tests that have subtests count only through them
	ended := map[string]string{}
	var order []string
	failed := false
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(nil, 16<<20)
	for in.Scan() {
		var e event
		if json.Unmarshal(in.Bytes(), &e) != nil {
			fmt.Println(in.Text()) // a line of the tool chain itself
			continue
		}
		id := e.Package + " " + e.Test
		switch e.Action {
		case "output", "build-output":
			output[id] = append(output[id], e.Output)
		case "build-fail":
			failed = true
		case "pass", "fail", "skip":
			if e.Test == "" {
				if e.Action == "fail" {
					failed = true
					fmt.Print(strings.Join(output[id], ""))
				}
				fmt.Printf("%-5s %6.1f s  %s\n", e.Action, e.Elapsed, e.Package)
				continue
			}
			if parent, _, ok := strings.Cut(e.Test, "/"); ok {
				children[e.Package+" "+parent] = true
			}
			ended[id] = e.Action
			order = append(order, id)
		}
	}
	n := map[string]int{}
	for _, id := range order {
		if children[id] && ended[id] == "pass" {
			continue
		}
		n[ended[id]]++
		if ended[id] != "pass" {
			fmt.Printf("\n%s: %s\n%s", ended[id], id, strings.Join(output[id], ""))
		}
	}
	fmt.Printf("\n%d passed, %d failed, %d skipped\n", n["pass"], n["fail"], n["skip"])
	if n["skip"] > 0 && os.Geteuid() == 0 {
		fmt.Println("as root no test may be skipped")
		failed = true
	}
	if failed || n["fail"] > 0 || n["pass"] == 0 {
		os.Exit(1)
	}
}
