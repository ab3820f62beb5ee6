package client

import (
	"context"
	"strings"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/session"
)

// connector makes the sessions of a run.
type connector struct {
	cfg     *Config
	id      string // client id of the subscriber
	version *session.Negotiation
	events  *events
}

// Suffixes of client ids.
const (
	publisherWord = "pub"
	serverWord    = "srv" // precedes the suffix in a server's client ids
	readerWord    = "letters"
	inboxWord     = "req"   // receives replies to our requests
	answerWord    = "reply" // sends our replies to requests
	testerWord    = "test"  // receives the messages of self-tests
)

// clean returns the settings of a session without state at the broker. Its client id is the
// publisher's with another suffix.
func (c *connector) clean(word string) session.Config {
	cfg := c.auxiliary(strings.TrimSuffix(c.cfg.PublisherSuffix, publisherWord)+word, nil)
	cfg.Notify = func(e session.Event) { c.events.add(e, false) }
	return cfg
}

// auxiliary returns the settings of a session without state at the broker that is not
// reported to hooks.
func (c *connector) auxiliary(suffix string, sink session.Sink) session.Config {
	cfg := c.cfg.session(c.id + suffix)
	cfg.Negotiation, cfg.Sink, cfg.CleanSession, cfg.SessionExpiry = c.version, sink, true, 0
	return cfg
}

// openReader opens an auxiliary session on which messages are read.
func (c *connector) openReader(word string, sink session.Sink, maxPacket int) (*session.Session, error) {
	cfg := c.auxiliary(c.cfg.PublisherSuffix+"-"+word, sink)
	cfg.MaxPacketSize = maxPacket
	return session.New(cfg)
}

// closeSoon closes a session that has nothing left to do.
func closeSoon(s *session.Session) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	s.Close(ctx)
}
