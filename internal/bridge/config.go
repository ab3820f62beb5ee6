package bridge

import (
	"crypto/tls"
	"maps"
	"math"
	"net/http"
	"slices"
	"time"

	"github.com/tx7do/kratos-transport/broker"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	"github.com/kratos-mqtt/kratos-mqtt/internal/engine"
)

// TLSFiles name the files of a TLS connection.
type TLSFiles struct {
	ca, cert, key, serverName string
	insecure                  bool
}

func (f *TLSFiles) load() (*tls.Config, error) {
	return engine.LoadTLS(f.ca, f.cert, f.key, f.serverName, f.insecure)
}

// Connection applies the connection part of a service's configuration. What it
// leaves unset keeps what other options said; nil is reported as a problem.
func Connection(c *v1.Connection) broker.Option {
	return func(o *broker.Options) {
		if o == nil {
			return
		}
		if addrs := c.GetAddresses(); len(addrs) > 0 {
			o.Addrs = slices.Clip(addrs)
		}
		files := tlsFiles(c.GetTls())
		if files != nil {
			o.TLSConfig = nil
		}
		Option(func(s *Settings) {
			s.noConnection = c == nil
			put(&s.Files, files)
			s.connection(c)
		})(o)
	}
}

func (s *Settings) connection(c *v1.Connection) {
	cfg := &s.Config
	put(&cfg.ClientID, c.GetClientId())
	put(&cfg.Username, c.GetUsername())
	put(&cfg.Password, c.GetPassword())
	putDuration(&cfg.KeepAlive, c.GetKeepAlive())
	putDuration(&cfg.ConnectTimeout, c.GetConnectTimeout())
	putDuration(&cfg.WriteTimeout, c.GetWriteTimeout())
	putDuration(&cfg.MaxReconnectDelay, c.GetMaxReconnectDelay())
	putDuration(&cfg.SessionExpiry, c.GetSessionExpiry())
	put(&s.Protocol, c.GetProtocol())
	put(&s.Preset, c.GetPreset())
	put(&cfg.Will, will(c.GetWill()))
	s.upgrade(c.GetWebsocketHeaders())
	if c != nil && c.AutoReconnect != nil {
		cfg.NoReconnect = !c.GetAutoReconnect()
	}
	if c != nil && c.CleanSession != nil {
		clean := c.GetCleanSession()
		cfg.CleanSession = &clean
	}
}

// upgrade takes the headers of the WebSocket upgrade request. Two names that
// differ in case only are one header.
func (s *Settings) upgrade(headers map[string]string) {
	if len(headers) == 0 {
		return
	}
	s.Config.Header, s.headerTwice = make(http.Header, len(headers)), nil
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		key := http.CanonicalHeaderKey(name)
		if s.Config.Header[key] != nil {
			s.headerTwice = append(s.headerTwice, key)
		}
		s.Config.Header.Set(key, headers[name])
	}
}

// Header sets the headers of the WebSocket upgrade request, in place of those
// before it, by their canonical names.
func (s *Settings) Header(h http.Header) {
	s.Config.Header, s.headerTwice = make(http.Header, len(h)), nil
	for _, name := range slices.Sorted(maps.Keys(h)) {
		key := http.CanonicalHeaderKey(name)
		s.Config.Header[key] = append(s.Config.Header[key], h[name]...)
	}
}

// tlsFiles returns nil for a message that says nothing, as one from a
// configuration file with empty placeholders does.
func tlsFiles(t *v1.TLS) *TLSFiles {
	f := TLSFiles{t.GetCaFile(), t.GetCertFile(), t.GetKeyFile(), t.GetServerName(), t.GetInsecureSkipVerify()}
	if f == (TLSFiles{}) {
		return nil
	}
	return &f
}

func will(w *v1.Will) *engine.Message {
	if w == nil {
		return nil
	}
	return &engine.Message{Topic: w.GetTopic(), Payload: w.GetPayload(), QoS: byte(min(w.GetQos(), math.MaxUint8)), Retain: w.GetRetain()}
}

// Publisher applies the publisher part of a service's configuration; nil
// changes nothing.
func (s *Settings) Publisher(p *v1.Publisher) {
	putDuration(&s.Config.PublishTimeout, p.GetTimeout())
	put(&s.Config.MaxPayload, int(p.GetMaxPayload()))
	put(&s.Config.Window, int(p.GetInFlight()))
	put(&s.Config.Connections, int(p.GetConnections()))
	s.Retry.merge(p.GetRetry())
	put(&s.Sequence, p.GetSequence())
}

// Subscriber applies the subscriber part of a service's configuration; nil
// changes nothing.
func (s *Settings) Subscriber(c *v1.Subscriber) {
	put(&s.Config.Concurrency, int(c.GetConcurrency()))
	put(&s.Config.Queue, int(c.GetQueue()))
	put(&s.Config.QueueBytes, int64(min(c.GetQueueBytes(), math.MaxInt64)))
	putDuration(&s.Config.HandlerTimeout, c.GetHandlerTimeout())
	putDuration(&s.Config.RetryBudget, c.GetRetryBudget())
	put(&s.Config.DeadLetterTopic, c.GetDeadLetterTopic())
	put(&s.Config.MaxInbound, int(c.GetMaxPayload()))
	s.unmatched(c)
	if c != nil {
		s.subscriber = proto.CloneOf(c)
	}
}

// put sets what the configuration has a value for.
func put[T comparable](to *T, v T) {
	var zero T
	if v != zero {
		*to = v
	}
}

func putDuration(to *time.Duration, d *durationpb.Duration) { put(to, d.AsDuration()) }
