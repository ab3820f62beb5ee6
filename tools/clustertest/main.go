// Command clustertest runs replicas of the reference service around a cluster of brokers and
// PostgreSQL, posts reports and injects faults. It ends with one line about the reports that
// were accepted, and exits with 1 if one was lost although the cluster loses nothing, stored
// twice, or refused during a rolling restart. The environment variables MESSAGES, FAULTS, KINDS,
// CLUSTER and SEED configure the run.
package main

import (
	"fmt"
	"os"
	"testing"

	"github.com/kratos-mqtt/kratos-mqtt/internal/test/replicas"
	"github.com/kratos-mqtt/kratos-mqtt/internal/test/soak"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "clustertest: want the path of the service as the only argument")
		os.Exit(2)
	}
	o, err := replicas.Options{Binary: os.Args[1], Progress: os.Stderr}.FromEnv()
	if err != nil {
		fmt.Fprintln(os.Stderr, "clustertest:", err)
		os.Exit(2)
	}
	os.Exit(new(soak.Standalone).Main(func(tb testing.TB) {
		r := replicas.Run(tb, o)
		fmt.Print(r.Details())
		if err := r.Err(o.Lossless()); err != nil {
			tb.Errorf("clustertest: %v", err)
		}
		fmt.Println(r)
	}))
}
