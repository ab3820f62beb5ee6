// Command server is the reference service: it collects reports over HTTP and
// gRPC, carries them through MQTT and saves them to a database. Which of these
// a process does follows from its configuration.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/go-kratos/kratos/v2/log"
	ggrpc "google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	kratosmqttv1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/internal/conf"
	"github.com/kratos-mqtt/kratos-mqtt/internal/server"
)

// Set by -ldflags "-X main.Name=... -X main.Version=...".
var (
	// Name is the name of the service.
	Name = "report-service"
	// Version is the version of the binary.
	Version = "dev"
)

// collectAt is how much of the live heap, in percent, is allocated between two
// collections. At full rate a few MiB are alive and a hundred are allocated a second:
// with Go's default of 100 an eighth of the CPU collects. GOGC in the environment
// counts over it.
const collectAt = 400

// collectFrom is the memory, in bytes, from which on it is collected more often than
// that: what strangers can have this process hold at a time is less. GOMEMLIMIT in the
// environment counts over it.
const collectFrom = 512 << 20

func main() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(collectAt)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(collectFrom)
	}
	path := flag.String("conf", conf.DefaultPath, "configuration `file`, or folder with a config.yaml")
	flag.Parse()
	if *path == conf.DefaultPath {
		*path = "" // wherever it is found
	}
	if err := run(*path); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", Name, err)
		os.Exit(1)
	}
}

// run serves until SIGINT or SIGTERM, which are a success. A second signal ends
// the process at once.
func run(path string) error {
	// From here on a signal stops the service in order, whenever it comes.
	ctx, release := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer release()
	context.AfterFunc(ctx, release)

	logger := newLogger(os.Stderr)
	log.SetLogger(logger)
	file, err := conf.Locate(path)
	if err != nil {
		return err
	}
	c, err := conf.Load(file, checkMQTT)
	if err != nil {
		return err
	}
	app, cleanup, err := wireApp(ctx, c, server.ServiceName(Name), logger, os.Stdout)
	switch {
	case ctx.Err() != nil && err != nil: // interrupted, which is no failure
		return nil
	case err != nil:
		return err
	}
	defer cleanup()
	// A stop before the gRPC server began to serve is no failure.
	if err := app.Run(); !errors.Is(err, ggrpc.ErrServerStopped) {
		return err
	}
	return nil
}

// checkMQTT reports what the library would refuse. Without an address the in-process
// broker has one.
func checkMQTT(c *conf.Bootstrap) error {
	s := c.Settings()
	if s.Connection == nil {
		s.Connection = new(kratosmqttv1.Connection)
	}
	if len(s.Connection.GetAddresses()) == 0 {
		s.Connection = proto.CloneOf(s.Connection)
		s.Connection.Addresses = []string{"mqtt://127.0.0.1:1883"}
	}
	return mqttbroker.Check(s, c.GetData().GetDatabase() != nil)
}

// newLogger writes lines that nobody whose text is in them can forge.
func newLogger(to io.Writer) log.Logger {
	return log.With(log.NewFilter(mqttbroker.SafeLogger(log.NewStdLogger(to)), log.FilterLevel(log.LevelInfo)),
		"ts", log.DefaultTimestamp,
		"caller", log.DefaultCaller,
		"service", Name,
		"version", Version,
	)
}
