package server

import (
	"fmt"
	"net"
	"os"

	"github.com/go-kratos/kratos/v2/log"
	"github.com/go-kratos/kratos/v2/transport/grpc"
	"github.com/go-kratos/kratos/v2/transport/http"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/kratos-mqtt/kratos-mqtt/api"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/conf"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
	"github.com/kratos-mqtt/kratos-mqtt/operator"
	"github.com/kratos-mqtt/kratos-mqtt/operator/remote"
	mqttserver "github.com/kratos-mqtt/kratos-mqtt/transport/mqtt"
)

// Operator has the operator's actions for messages that were not handled. They are part of
// the console, and are served by HTTP and gRPC to other programs if that is configured.
type Operator struct {
	acts  *operator.Operator
	token string // "" without one
	files *protoregistry.Files
}

// NewOperator returns the operator, and mounts it on the servers if it is configured.
// outbox is that of the data layer. Each operation that changes something is one line of
// the log. The returned function closes the archive.
func NewOperator(
	c *conf.Server, room *Room, hs *http.Server, gs *grpc.Server, ms *mqttserver.Server, outbox operator.Outbox, telemetry *Telemetry, logger log.Logger,
) (*Operator, func(), error) {
	token, err := remote.Token(c.GetOperator().GetTokenFile(), os.Getenv(conf.EnvOperatorToken))
	if err != nil {
		return nil, nil, fmt.Errorf("server.operator: %w", err)
	}
	files, err := operator.OpenDescriptors(api.Descriptors())
	if err != nil {
		return nil, nil, err
	}
	o := operator.Options{Outbox: outbox, Probe: telemetry.health, Files: files, Audit: audit(log.NewHelper(logger))}
	o.Retained, _ = outbox.(operator.Retained) // by the publisher where nothing subscribes
	if ms != nil {
		o.Source, o.Parked, o.Subscriptions, o.Retained = ms, ms, ms, ms
	}
	closeArchive := func() {}
	if path := c.GetOperator().GetArchive(); path != "" {
		archive, err := operator.OpenArchive(path)
		if err != nil {
			return nil, nil, fmt.Errorf("server.operator.archive: %w", err)
		}
		o.Archiver, closeArchive = archive, func() { _ = archive.Close() }
	}
	acts := operator.New(o)
	if c.GetOperator() != nil {
		if err := mount(remote.New(acts, token), c, room, hs, gs); err != nil {
			closeArchive()
			return nil, nil, fmt.Errorf("server.operator: %w: set server.operator.token_file or %s", err, conf.EnvOperatorToken)
		}
	}
	return &Operator{acts, token, files}, closeArchive, nil
}

// mount registers the operator with the servers that exist, unless one of them listens
// beyond loopback and there is no token.
func mount(s *remote.Server, c *conf.Server, room *Room, hs *http.Server, gs *grpc.Server) error {
	for _, addr := range []string{c.GetHttp().GetAddr(), c.GetGrpc().GetAddr()} {
		if addr == "" {
			continue
		}
		listens, err := net.ResolveTCPAddr("tcp", addr)
		if err != nil {
			return err
		}
		if err := s.Check(listens); err != nil {
			return fmt.Errorf("%s: %w", addr, err)
		}
	}
	if hs != nil {
		hs.HandlePrefix(remote.Path, s.Handler())
	}
	if gs != nil {
		s.Register(&bounded{gs, room})
	}
	return nil
}

// Keys of the fields of the audit.
const (
	keyAction   = "kratosmqtt.operator.action"
	keyBy       = "kratosmqtt.operator.by"
	keySelected = "kratosmqtt.operator.selected"
	keyDone     = "kratosmqtt.operator.done"
	keyFailed   = "kratosmqtt.operator.failed"
	keyHeld     = "kratosmqtt.operator.held"
	keyDryRun   = "kratosmqtt.operator.dry_run"
	keyTopics   = "kratosmqtt.operator.topics"
	keyHash     = "kratosmqtt.operator.edited_sha256" // of the payload before the edit
)

// maxTopics is how many topics of an action are in its line; their number is, too.
const maxTopics = 10

// audit returns a function that logs actions.
func audit(l *log.Helper) func(operator.Action) {
	return func(a operator.Action) {
		fields := []any{keyAction, a.Name, keyBy, a.By}
		if a.Subscription != "" {
			fields = append(fields, logsafe.KeyOperation, a.Subscription)
		} else {
			out := a.Outcome
			fields = append(fields, keySelected, out.Selected, keyDone, out.Done, keyFailed, out.Failed, keyHeld, out.Held)
		}
		if a.Why != "" {
			fields = append(fields, logsafe.KeyWhy, a.Why)
		}
		if a.DryRun {
			fields = append(fields, keyDryRun, true)
		}
		if a.Edit.SHA256 != "" {
			fields = append(fields, keyHash, a.Edit.SHA256)
		}
		fields = logsafe.Fields(fields, nil)
		if n := len(a.Topics); n > 0 {
			fields = append(fields, logsafe.KeyCount, n, keyTopics, fmt.Sprintf("%.1000q", a.Topics[:min(n, maxTopics)]))
		}
		if a.Err == nil {
			l.Infow(append([]any{log.DefaultMessageKey, "an operator acted"}, fields...)...)
			return
		}
		fields = append(fields, logsafe.Fields([]any{logsafe.KeyError, a.Err}, errorType)...)
		l.Warnw(append([]any{log.DefaultMessageKey, "an action of an operator failed"}, fields...)...)
	}
}

// errorType returns the field with the reason of an error, if it has one.
func errorType(err error) []any {
	if reason := event.ReasonOf(err); reason != "" {
		return []any{logsafe.KeyErrorType, reason}
	}
	return nil
}
