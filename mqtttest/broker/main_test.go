package broker_test

import (
	"fmt"
	"io"
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/kratos-mqtt/kratos-mqtt/mqtttest/broker"
)

// fileVariable names the file of a process that only runs a broker.
const fileVariable = "BROKER_TEST_FILE"

func TestMain(m *testing.M) {
	if path := os.Getenv(fileVariable); path != "" {
		serve(path)
		return
	}
	goleak.VerifyTestMain(m)
}

// serve runs a broker until the end of its input.
func serve(path string) {
	b, err := broker.Listen(broker.WithFile(path))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(b.URL())
	_, _ = io.Copy(io.Discard, os.Stdin)
	b.Close()
}
