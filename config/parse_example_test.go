package config_test

import (
	"fmt"

	"understudy/config"
)

func ExampleParse() {
	_, err := config.Parse("understudy.toml", []byte(`
cluster = "cell1"
[lease]
ttl = 5
[node.alpha]
addresses = { public = "192.0.2.1/24" }
[group.db]
nodes = ["alpha", "beta"]
`))
	fmt.Println(err)
	// Output:
	// understudy.toml:4: lease.ttl is the bare number 5 [C004] — write a string with a unit: "5s"
	// understudy.toml:8: group db: no node is named "beta" [C036] — write [node.beta], or correct the name
}
