package soak

import (
	"os"
	"path/filepath"
	"time"

	"github.com/go-kratos/kratos/v2/log"
	"google.golang.org/protobuf/types/known/durationpb"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
)

// password is planted: it must never occur in the log of a child.
const password = "planted-5ecret-of-the-chain"

const user = "chain"

// Files of a child.
func acceptedPath(dir string) string { return filepath.Join(dir, "accepted") }
func handledPath(dir string) string  { return filepath.Join(dir, "handled") }
func outboxPath(dir string) string   { return filepath.Join(dir, "outbox.db") }
func lettersPath(dir string) string  { return filepath.Join(dir, "letters.db") }
func logPath(dir string) string      { return filepath.Join(dir, "log") }

// connection returns the connection of a child. Its times are shorter than in production, so
// that a fault costs less than a second.
func connection(cfg childConfig, clientID string) *v1.Connection {
	return &v1.Connection{
		Addresses: []string{cfg.URL}, ClientId: clientID, Protocol: cfg.Protocol,
		Username: user, Password: password,
		KeepAlive: durationpb.New(2 * time.Second), ConnectTimeout: durationpb.New(2 * time.Second),
		MaxReconnectDelay: durationpb.New(500 * time.Millisecond),
	}
}

// logger writes to the child's log, except what a run logs thousands of times.
func logger() log.Logger {
	return log.NewFilter(log.With(log.NewStdLogger(os.Stderr), "ts", log.DefaultTimestamp), log.FilterLevel(log.LevelWarn))
}
