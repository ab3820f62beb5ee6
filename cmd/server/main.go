// Command server is the reference service: it collects reports over HTTP and gRPC,
// transports them over MQTT and saves them to a database. The configuration decides
// which of these a process does.
package main

import (
	"cmp"
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
	// Name is the name of the service. Default: that of conf.ServiceName.
	Name string
	// Version is the version of the binary.
	Version = "dev"
)

// collectAt is the garbage collection target: how much of the live heap, in percent, is
// allocated between two collections. At full rate a few MiB are alive and a hundred are
// allocated per second: with Go's default of 100 an eighth of the CPU time is spent on
// collections. The environment variable GOGC overrides it.
const collectAt = 400

// collectFrom is the memory limit, in bytes, above which collections are more frequent.
// The bounds on requests and messages keep the process below it. The environment
// variable GOMEMLIMIT overrides it.
const collectFrom = 512 << 20

// ownName returns the name that the build set, or that of the module.
func ownName() string { return cmp.Or(Name, conf.ServiceName()) }

func main() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(collectAt)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(collectFrom)
	}
	path := flag.String("conf", conf.DefaultPath, "configuration `file`, or a folder that contains config.yaml")
	flag.Parse()
	if *path == conf.DefaultPath {
		*path = "" // conf.Locate searches for it
	}
	if err := run(*path); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", ownName(), err)
		os.Exit(1)
	}
}

// run serves until SIGINT or SIGTERM, and then returns nil. A second signal ends the
// process at once.
func run(path string) error {
	// From here on, a signal stops the service gracefully.
	ctx, release := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer release()
	context.AfterFunc(ctx, release)

	level := new(logLevel)
	level.set(nil)
	logger := newLogger(os.Stderr, level)
	log.SetLogger(logger)
	file, err := conf.Locate(path)
	if err != nil {
		return err
	}
	c, err := conf.Load(file, checkMQTT)
	if err != nil {
		return err
	}
	level.set(c.Log)
	app, cleanup, err := wireApp(ctx, c, source{file, level}, server.ServiceName(ownName()), server.ServiceVersion(Version), logger, os.Stdout)
	switch {
	case ctx.Err() != nil && err != nil: // interrupted, not failed
		return nil
	case err != nil:
		return err
	}
	defer cleanup()
	// A stop before the gRPC server began to serve is not a failure.
	if err := app.Run(); !errors.Is(err, ggrpc.ErrServerStopped) {
		return err
	}
	return nil
}

// checkMQTT reports the MQTT settings that the library would refuse. A missing address
// is allowed if the in-process broker supplies one.
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

// newLogger returns a logger whose lines cannot be forged by the text of messages.
func newLogger(to io.Writer, level *logLevel) log.Logger {
	return log.With(log.NewFilter(mqttbroker.SafeLogger(log.NewStdLogger(to)), log.FilterFunc(level.hides)),
		"ts", log.DefaultTimestamp,
		"caller", log.DefaultCaller,
		"service", ownName(),
		"version", Version,
	)
}
