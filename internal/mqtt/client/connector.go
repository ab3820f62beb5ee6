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
	id      string // of the subscriber
	version *session.Negotiation
	events  *events
}

// The words that client ids end with.
const (
	publisherWord = "pub"
	serverWord    = "srv" // before those of a server
	readerWord    = "letters"
	inboxWord     = "req"   // replies to our requests
	answerWord    = "reply" // our answers to requests
	testerWord    = "test"  // reads what self-tests send
)

// clean are the settings of a session that the broker keeps nothing of. Its client id
// ends as the publisher's does, with another word.
func (c *connector) clean(word string) session.Config {
	cfg := c.aside(strings.TrimSuffix(c.cfg.PublisherSuffix, publisherWord)+word, nil)
	cfg.Notify = func(e session.Event) { c.events.add(e, false) }
	return cfg
}

// aside returns the settings of a session that the broker keeps no state of, and that
// is not reported to hooks.
func (c *connector) aside(suffix string, sink session.Sink) session.Config {
	cfg := c.cfg.session(c.id + suffix)
	cfg.Negotiation, cfg.Sink, cfg.CleanSession, cfg.SessionExpiry = c.version, sink, true, 0
	return cfg
}

// reading opens a session aside that messages are read on; close closes it.
func (c *connector) reading(word string, sink session.Sink, maxPacket int) (*session.Session, error) {
	cfg := c.aside(c.cfg.PublisherSuffix+"-"+word, sink)
	cfg.MaxPacketSize = maxPacket
	return session.New(cfg)
}

// closeSoon closes a session that nothing is left to do for.
func closeSoon(s *session.Session) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	s.Close(ctx)
}
