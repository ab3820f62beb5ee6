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
// addresses. Fields that are not set leave other options unchanged; nil is reported as a
// problem.
func (s *Settings) Connection(c *v1.Connection) {
	s.noConnection = c == nil
	cfg := &s.Config
	if cfg.given.connection == nil {
		cfg.coded.login = login{cfg.Username, cfg.Password}
		cfg.coded.passwordFile = cfg.PasswordFile
	}
	cfg.given.connection = proto.CloneOf(c)
	if files := tlsFiles(c.GetTls()); files != nil {
		s.TLS, s.Files = nil, files
	}
	s.connection(c)
}

func (s *Settings) connection(c *v1.Connection) {
	cfg := &s.Config
	setIf(&cfg.ClientID, c.GetClientId())
	setIf(&cfg.Username, c.GetUsername())
	setIf(&cfg.Password, c.GetPassword())
	setIf(&cfg.PasswordFile, c.GetPasswordFile())
	s.duration("Connection", "keep_alive", c.GetKeepAlive(), &cfg.KeepAlive)
	s.duration("Connection", "connect_timeout", c.GetConnectTimeout(), &cfg.ConnectTimeout)
	s.duration("Connection", "write_timeout", c.GetWriteTimeout(), &cfg.WriteTimeout)
	s.duration("Connection", "max_reconnect_delay", c.GetMaxReconnectDelay(), &cfg.MaxReconnectDelay)
	s.sessionExpiry(c)
	s.partitions(c.GetPartitions())
	setIf(&s.Protocol, c.GetProtocol())
	setIf(&s.Preset, c.GetPreset())
	setIf(&s.Proxy, c.GetProxy())
	setIf(&s.Strict, c.GetStrict())
	if names := c.GetTls().GetAlpn(); len(names) > 0 {
		s.ALPN = slices.Clone(names)
	}
	setIf(&cfg.Will, will(c.GetWill()))
	s.upgrade(c.GetWebsocketHeaders())
	if c != nil && c.AutoReconnect != nil {
		cfg.NoReconnect = !c.GetAutoReconnect()
	}
	if c != nil && c.CleanSession != nil {
		clean := c.GetCleanSession()
		cfg.CleanSession = &clean
	}
}

// partitions applies the configuration of partitions; nil changes nothing.
func (s *Settings) partitions(c *v1.Partitions) {
	p := &s.Config.Partitions
	setIf(&p.Count, int(min(c.GetCount(), math.MaxInt32)))
	setIf(&p.Owned, c.GetOwned())
	setIf(&p.Replicas, int(min(c.GetReplicas(), math.MaxInt32)))
	s.duration("Partitions", "handover", c.GetHandover(), &p.Handover)
}

// upgrade sets the headers of the WebSocket upgrade request. Names that differ only in case
// are one header.
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

// Header replaces the headers of the WebSocket upgrade request, by their canonical names.
func (s *Settings) Header(h http.Header) {
	s.Config.Header, s.headerTwice = make(http.Header, len(h)), nil
	for _, name := range slices.Sorted(maps.Keys(h)) {
		key := http.CanonicalHeaderKey(name)
		s.Config.Header[key] = append(s.Config.Header[key], h[name]...)
	}
}

// tlsFiles returns nil for a message without settings, such as one from a configuration
// file with empty placeholders.
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
	cfg := &s.Config
	if cfg.given.publisher == nil {
		cfg.coded.publishTimeout, cfg.coded.retry = cfg.PublishTimeout, s.Retry
	}
	cfg.given.publisher = section(p)
	s.duration("Publisher", "timeout", p.GetTimeout(), &cfg.PublishTimeout)
	setIf(&cfg.MaxPayload, int(p.GetMaxPayload()))
	setIf(&cfg.Window, int(p.GetInFlight()))
	setIf(&cfg.Connections, int(p.GetConnections()))
	s.Retry.merge(p.GetRetry())
	setIf(&s.Sequence, p.GetSequence())
}

// Subscriber applies the subscriber part of a service's configuration; nil
// changes nothing.
func (s *Settings) Subscriber(c *v1.Subscriber) {
	cfg := &s.Config
	if cfg.given.subscriber == nil {
		cfg.coded.concurrency, cfg.coded.handlerTimeout, cfg.coded.retryBudget = cfg.Concurrency, cfg.HandlerTimeout, cfg.RetryBudget
	}
	cfg.given.subscriber = section(c)
	setIf(&cfg.Concurrency, int(c.GetConcurrency()))
	setIf(&cfg.Queue, int(c.GetQueue()))
	setIf(&cfg.QueueBytes, int64(min(c.GetQueueBytes(), math.MaxInt64)))
	s.duration("Subscriber", "handler_timeout", c.GetHandlerTimeout(), &cfg.HandlerTimeout)
	if d := c.GetRetryBudget(); d != nil && d.AsDuration() == 0 {
		cfg.RetryBudget = 1 // ends after the first attempt
	} else {
		putDuration(&cfg.RetryBudget, d)
	}
	setIf(&cfg.DeadLetterTopic, c.GetDeadLetterTopic())
	setIf(&cfg.MaxInbound, int(c.GetMaxPayload()))
	s.unmatched(c)
	if names := c.GetAllowedMetadata(); len(names) > 0 {
		s.AllowedMetadata = slices.Clone(names)
	}
	s.Replies(c.GetReplies())
	if c != nil {
		cfg.Subscriber = proto.CloneOf(c)
	}
}

// unmatched applies a service's configuration for messages and filters without a
// subscription.
func (s *Settings) unmatched(c *v1.Subscriber) {
	if d := c.GetUnmatchedGrace(); d != nil {
		grace := d.AsDuration() // 0 is a value
		s.Config.UnmatchedGrace = &grace
	}
	setIf(&s.Config.Unmatched, event.Unmatched(c.GetUnmatched()))
	setIf(&s.Config.KeepFilters, c.GetKeepFilters())
	setIf(&s.Config.SharePrefix, c.GetSharedGroupPrefix())
	if filters := c.GetPreviousFilters(); len(filters) > 0 {
		s.Config.PreviousFilters = slices.Clone(filters)
	}
}

// What happens to a message whose dead letter exceeds the share of its origin.
const (
	overShareDrop  = "drop"
	overShareBlock = "block"
)

// DeadLetters applies the part of a service's configuration that is about dead
// letters, except their store; nil changes nothing.
func (s *Settings) DeadLetters(c *v1.DeadLetters) {
	setIf(&s.Config.MaxLetters, int(min(c.GetMaxLetters(), math.MaxInt32)))
	setIf(&s.Config.MaxLetterBytes, int64(min(c.GetMaxBytes(), math.MaxInt64)))
	setIf(&s.Config.LetterShare, int(min(c.GetShare(), math.MaxInt32)))
	putDuration(&s.Config.ParkLimit, c.GetParkLimit())
	setIf(&s.overShare, c.GetOverShare())
	if keys := c.GetSigningKeys(); len(keys) > 0 {
		s.Config.SigningKeys = nil
		for _, key := range keys {
			s.Config.SigningKeys = append(s.Config.SigningKeys, []byte(key))
		}
	}
}

// BlockOverShare does in code what the configuration value block does.
func (s *Settings) BlockOverShare() { s.overShare = overShareBlock }

// duration reads a setting that must not be 0 in a configuration, because 0 would silently
// mean the default.
func (s *Settings) duration(section, key string, d *durationpb.Duration, to *time.Duration) {
	if d == nil {
		return
	}
	same := func(e *event.SettingError) bool { return e.Section == "kratosmqtt.v1."+section && e.Key == key }
	s.zeros = slices.DeleteFunc(slices.Clone(s.zeros), same)
	if d.AsDuration() == 0 {
		s.zeros = append(s.zeros, event.NewSettingError(section, key, "is 0s, want more; leave it out for the default"))
	}
	putDuration(to, d)
}

// sessionExpiry treats 0 as a session that ends with its connection: a clean session on
// both versions of MQTT.
func (s *Settings) sessionExpiry(c *v1.Connection) {
	d := c.GetSessionExpiry()
	if d == nil || d.AsDuration() != 0 {
		s.duration("Connection", "session_expiry", d, &s.Config.SessionExpiry)
		return
	}
	clean := true
	s.Config.CleanSession = &clean
	if c.CleanSession != nil && !c.GetCleanSession() {
		s.zeros = append(s.zeros, event.NewSettingError("Connection", "session_expiry", "is 0s, which contradicts clean_session: false"))
	}
}

func putDuration(to *time.Duration, d *durationpb.Duration) { setIf(to, d.AsDuration()) }

// Replies applies the configuration of where and how many replies may be sent; nil changes
// nothing.
func (s *Settings) Replies(c *v1.Replies) {
	if topics := c.GetTopics(); len(topics) > 0 {
		s.ReplyTopics = slices.Clone(topics)
	}
	if topics := c.GetUnboundTopics(); len(topics) > 0 {
		s.UnboundReplyTopics = slices.Clone(topics)
	}
	s.ReplyLimits.Configure(c)
}
