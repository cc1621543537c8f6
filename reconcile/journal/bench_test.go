package journal

import (
	"testing"
	"time"
)

func BenchmarkAppend(b *testing.B) {
	j := mustOpen(b, b.TempDir(), Options{Node: "alpha", BootID: "0f8e"})
	r := Record{Kind: Done, Group: "dce", Role: "owner", Plan: "7f3a2c", Step: "mount /krb5", N: 4, Of: 11, Took: time.Millisecond}
	b.ReportAllocs()
	for b.Loop() {
		if err := j.Append(r); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppendSync(b *testing.B) {
	j := mustOpen(b, b.TempDir(), Options{Node: "alpha", BootID: "0f8e"})
	r := Record{Kind: Started, Group: "dce", Role: "owner", Plan: "7f3a2c", Step: "mount /krb5", N: 4, Of: 11}
	for b.Loop() {
		if err := j.AppendSync(r); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRead16MiB(b *testing.B) {
	j := mustOpen(b, b.TempDir(), Options{Node: "alpha", BootID: "0f8e"})
	r := Record{Kind: Done, Group: "dce", Role: "owner", Plan: "7f3a2c", Step: "mount /krb5", N: 4, Of: 11, Took: time.Millisecond}
	for range 80000 {
		if err := j.Append(r); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		if _, err := j.Records(Filter{Last: 20}); err != nil {
			b.Fatal(err)
		}
	}
}
