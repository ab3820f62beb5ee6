package client

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
)

// How often the TLS files are looked at, and how long a new set of files that the
// broker refuses waits for another try.
const (
	filesInterval = time.Second
	filesPause    = 30 * time.Second
)

// certificates are what the TLS files of a client contain. New files replace those in
// use only when they can be read, belong together, have not expired, and a broker has
// accepted them on a connection of their own; otherwise the old ones stay in use, and
// the log and Health report why. Safe for concurrent use.
type certificates struct {
	log logsafe.Log
	try func(ctx context.Context, config *tls.Config) error // asks a broker

	mu     sync.Mutex
	files  TLSFiles
	seen   [3]stamp  // the files as they were last looked at
	twice  bool      // they have been looked at again since
	next   time.Time // when the broker is asked again
	config *tls.Config
	err    error // why the files are not in use as they are now; nil if they are
}

// stamps identify the content of the files.
func (f *TLSFiles) stamps() [3]stamp {
	return [...]stamp{stampOf(f.ca), stampOf(f.cert), stampOf(f.key)}
}

// newCertificates reads the files for the first time.
func newCertificates(files TLSFiles) (*certificates, error) {
	c := &certificates{files: files, seen: files.stamps(), log: logsafe.Log{Logger: logsafe.Silence}}
	var err error
	c.config, err = files.load()
	return c, err
}

// use returns the configuration of the next connection.
func (c *certificates) use() (*tls.Config, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.config.Clone(), nil
}

// problem returns why new files are not used.
func (c *certificates) problem() error {
	if c == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// reread takes the files as they are, before there is a connection to lose. If they
// cannot be used the old ones stay in use.
func (c *certificates) reread() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := c.files.stamps(); now != c.seen {
		if config, err := c.files.load(); err == nil {
			c.seen, c.config, c.err = now, config, nil
		}
	}
}

// point makes other files the ones to use; the name of the broker stays the same.
func (c *certificates) point(files TLSFiles) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if files.serverName, files.insecure = c.files.serverName, c.files.insecure; c.files != files {
		c.files, c.seen = files, [3]stamp{}
	}
}

// look takes new files into use and reports whether it did. It is called again and again
// by one goroutine.
func (c *certificates) look(ctx context.Context) (changed bool) {
	c.mu.Lock()
	files, now := c.files, c.files.stamps()
	switch {
	case now != c.seen:
		c.seen, c.twice, c.next = now, false, time.Time{}
	case c.err == nil && c.twice, time.Now().Before(c.next):
		c.mu.Unlock()
		return false
	default:
		c.twice = true
	}
	before, twice := c.config, c.twice
	c.mu.Unlock()

	config, err := files.load()
	if err == nil {
		if sameTLS(before, config) {
			c.settle(before, nil, twice)
			return false
		}
		err = c.check(ctx, config)
	}
	if err != nil {
		c.settle(before, err, twice)
		return false
	}
	return c.settle(config, nil, true)
}

// check reports why a configuration must not replace the one in use. errUntried means
// that no broker could be asked.
func (c *certificates) check(ctx context.Context, config *tls.Config) error {
	if end := clientEnd(config); !end.IsZero() && !time.Now().Before(end) {
		return fmt.Errorf("the client certificate has expired at %s", end.UTC().Format(time.RFC3339))
	}
	if err := c.try(ctx, config); err != nil {
		if event.TLSProblemOf(err) == "" {
			return errUntried
		}
		return err
	}
	return nil
}

// errUntried is not reported: the broker is asked again soon.
var errUntried = errors.New("no broker could be asked")

// settle notes the outcome of a look. Files that cannot be read are reported when they
// are still the same at the second look, because they are replaced one after another.
func (c *certificates) settle(config *tls.Config, err error, twice bool) (changed bool) {
	c.mu.Lock()
	changed = c.config != config
	c.config = config
	refused := false
	switch {
	case errors.Is(err, errUntried):
		c.twice = false
	case err != nil && twice:
		err = logsafe.Error(err)
		refused = c.err == nil || c.err.Error() != err.Error()
		c.err, c.next = err, time.Now().Add(filesPause)
	case err == nil:
		c.err, c.twice = nil, true
	}
	c.mu.Unlock()
	if refused {
		c.log.Error("mqtt: new TLS files are not used, the old ones stay in use", logsafe.KeyError, err)
	}
	if changed {
		var fields []any
		if end := clientEnd(config); !end.IsZero() {
			fields = []any{logsafe.KeyUntil, end}
		}
		c.log.Info("mqtt: new TLS files are used from now on", fields...)
	}
	return changed
}

// clientEnd returns when the client certificate of a configuration ends; zero if there
// is none.
func clientEnd(config *tls.Config) time.Time {
	if len(config.Certificates) == 0 {
		return time.Time{}
	}
	c := &config.Certificates[0]
	if c.Leaf != nil {
		return c.Leaf.NotAfter
	}
	leaf, err := x509.ParseCertificate(c.Certificate[0])
	if err != nil {
		return time.Time{}
	}
	return leaf.NotAfter
}

// sameTLS reports whether two configurations of files are equal: a file may have been
// written again with the same content. Chains count as a whole, because a broker may miss the
// certificate of an intermediate authority.
func sameTLS(a, b *tls.Config) bool {
	if a.ServerName != b.ServerName || a.InsecureSkipVerify != b.InsecureSkipVerify || len(a.Certificates) != len(b.Certificates) ||
		(a.RootCAs == nil) != (b.RootCAs == nil) || a.RootCAs != nil && !a.RootCAs.Equal(b.RootCAs) {
		return false
	}
	for i := range a.Certificates {
		if !slices.EqualFunc(a.Certificates[i].Certificate, b.Certificates[i].Certificate, bytes.Equal) {
			return false
		}
	}
	return true
}
