package faultmatrix_test

import (
	"flag"
	"testing"

	"go.uber.org/goleak"
)

// atOnce is how many rows run in parallel. Most of the time they wait, for a keep-alive or
// for a broker that is down.
const atOnce = "8"

func TestMain(m *testing.M) {
	flag.Parse()
	chosen := false
	flag.Visit(func(f *flag.Flag) { chosen = chosen || f.Name == "test.parallel" })
	if !chosen {
		_ = flag.Set("test.parallel", atOnce)
	}
	goleak.VerifyTestMain(m)
}
