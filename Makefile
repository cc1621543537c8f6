# The two commands of the README, and little else.

.PHONY: demo test build

demo: ## a failover on this machine, as root
	go run ./cmd/understudy lab demo

test: ## everything, as root for the tests on real kernel parts
	bash .ci/test.sh

build: ## the static binary
	CGO_ENABLED=0 go build -trimpath -ldflags "-s -w" -o understudy ./cmd/understudy
