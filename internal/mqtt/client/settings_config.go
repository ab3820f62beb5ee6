package client

import (
	"crypto/tls"
	"maps"
	"math"
	"net/http"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	"github.com/kratos-mqtt/kratos-mqtt/event"
)

// TLSFiles name the files of a TLS connection.
type TLSFiles struct {
	ca, cert, key, serverName string
	insecure                  bool
}

func (f *TLSFiles) load() (*tls.Config, error) {
	return LoadTLS(f.ca, f.cert, f.key, f.serverName, f.insecure)
}

// Connection applies the connection part of a service's configuration, except its
// addresses. What it leaves unset keeps what other options said; nil is reported as a
// problem.
func (s *Settings) Connection(c *v1.Connection) {
	s.noConnection = c == nil
	if files := tlsFiles(c.GetTls()); files != nil {
		s.TLS, s.Files = nil, files
	}
	s.connection(c)
}

func (s *Settings) connection(c *v1.Connection) {
	cfg := &s.Config
	put(&cfg.ClientID, c.GetClientId())
	put(&cfg.Username, c.GetUsername())
	put(&cfg.Password, c.GetPassword())
	s.duration("Connection", "keep_alive", c.GetKeepAlive(), &cfg.KeepAlive)
	s.duration("Connection", "connect_timeout", c.GetConnectTimeout(), &cfg.ConnectTimeout)
	s.duration("Connection", "write_timeout", c.GetWriteTimeout(), &cfg.WriteTimeout)
	s.duration("Connection", "max_reconnect_delay", c.GetMaxReconnectDelay(), &cfg.MaxReconnectDelay)
	s.sessionExpiry(c)
	put(&s.Protocol, c.GetProtocol())
	put(&s.Preset, c.GetPreset())
	put(&s.Proxy, c.GetProxy())
	put(&s.Strict, c.GetStrict())
	if names := c.GetTls().GetAlpn(); len(names) > 0 {
		s.ALPN = slices.Clone(names)
	}
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

func will(w *v1.Will) *Message {
	if w == nil {
		return nil
	}
	return &Message{Topic: w.GetTopic(), Payload: []byte(w.GetPayload()), QoS: byte(min(w.GetQos(), math.MaxUint8)), Retain: w.GetRetain()}
}

// Publisher applies the publisher part of a service's configuration; nil
// changes nothing.
func (s *Settings) Publisher(p *v1.Publisher) {
	s.duration("Publisher", "timeout", p.GetTimeout(), &s.Config.PublishTimeout)
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
	s.duration("Subscriber", "handler_timeout", c.GetHandlerTimeout(), &s.Config.HandlerTimeout)
	if d := c.GetRetryBudget(); d != nil && d.AsDuration() == 0 {
		s.Config.RetryBudget = 1 // over after the first attempt
	} else {
		putDuration(&s.Config.RetryBudget, d)
	}
	put(&s.Config.DeadLetterTopic, c.GetDeadLetterTopic())
	put(&s.Config.MaxInbound, int(c.GetMaxPayload()))
	s.unmatched(c)
	if names := c.GetAllowedMetadata(); len(names) > 0 {
		s.AllowedMetadata = slices.Clone(names)
	}
	s.Replies(c.GetReplies())
	if c != nil {
		s.Config.Subscriber = proto.CloneOf(c)
	}
}

// unmatched takes from a service's configuration what becomes of messages and
// filters without a subscription.
func (s *Settings) unmatched(c *v1.Subscriber) {
	if d := c.GetUnmatchedGrace(); d != nil {
		grace := d.AsDuration() // 0 is a value
		s.Config.UnmatchedGrace = &grace
	}
	put(&s.Config.Unmatched, event.Unmatched(c.GetUnmatched()))
	put(&s.Config.KeepFilters, c.GetKeepFilters())
	put(&s.Config.SharePrefix, c.GetSharedGroupPrefix())
	if filters := c.GetPreviousFilters(); len(filters) > 0 {
		s.Config.PreviousFilters = slices.Clone(filters)
	}
}

// What becomes of a message whose letter is over the share of its origin.
const (
	overShareDrop  = "drop"
	overShareBlock = "block"
)

// DeadLetters applies the part of a service's configuration that is about dead
// letters, except their store; nil changes nothing.
func (s *Settings) DeadLetters(c *v1.DeadLetters) {
	put(&s.Config.MaxLetters, int(min(c.GetMaxLetters(), math.MaxInt32)))
	put(&s.Config.MaxLetterBytes, int64(min(c.GetMaxBytes(), math.MaxInt64)))
	put(&s.Config.LetterShare, int(min(c.GetShare(), math.MaxInt32)))
	putDuration(&s.Config.ParkLimit, c.GetParkLimit())
	put(&s.overShare, c.GetOverShare())
	if keys := c.GetMacKeys(); len(keys) > 0 {
		s.Config.LetterKeys = nil
		for _, key := range keys {
			s.Config.LetterKeys = append(s.Config.LetterKeys, []byte(key))
		}
	}
}

// BlockOverShare is the option for a configuration that says block.
func (s *Settings) BlockOverShare() { s.overShare = overShareBlock }

// duration takes a setting whose 0 means nothing: written into a configuration
// it is a problem, because the default is not what was asked for.
func (s *Settings) duration(section, key string, d *durationpb.Duration, to *time.Duration) {
	if d == nil {
		return
	}
	same := func(e *event.SettingError) bool { return e.Section == "kratosmqtt.v1."+section && e.Key == key }
	s.zeros = slices.DeleteFunc(slices.Clone(s.zeros), same)
	if d.AsDuration() == 0 {
		s.zeros = append(s.zeros, event.Setting(section, key, "is 0s, want more; leave it out for the default"))
	}
	putDuration(to, d)
}

// sessionExpiry takes 0 for a session that ends with its connection, which is a
// clean one on both versions of MQTT.
func (s *Settings) sessionExpiry(c *v1.Connection) {
	d := c.GetSessionExpiry()
	if d == nil || d.AsDuration() != 0 {
		s.duration("Connection", "session_expiry", d, &s.Config.SessionExpiry)
		return
	}
	clean := true
	s.Config.CleanSession = &clean
	if c.CleanSession != nil && !c.GetCleanSession() {
		s.zeros = append(s.zeros, event.Setting("Connection", "session_expiry", "is 0s, which contradicts clean_session: false"))
	}
}

func putDuration(to *time.Duration, d *durationpb.Duration) { put(to, d.AsDuration()) }

// Replies applies where replies may go, and how many; nil changes nothing.
func (s *Settings) Replies(c *v1.Replies) {
	if topics := c.GetTopics(); len(topics) > 0 {
		s.ReplyTopics = slices.Clone(topics)
	}
	if topics := c.GetUnboundTopics(); len(topics) > 0 {
		s.UnboundReplyTopics = slices.Clone(topics)
	}
	s.ReplyLimits.Configure(c)
}
