// Package stores opens the stores that a configuration names: outbox, dedup window and dead
// letters.
package stores

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter/deadletterfile"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter/deadlettersql"
	"github.com/kratos-mqtt/kratos-mqtt/event/dedup"
	"github.com/kratos-mqtt/kratos-mqtt/event/dedup/dedupsql"
	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
	"github.com/kratos-mqtt/kratos-mqtt/event/outbox/outboxfile"
	"github.com/kratos-mqtt/kratos-mqtt/event/outbox/outboxsql"
	"github.com/kratos-mqtt/kratos-mqtt/event/sqltx"
)

// The drivers. An empty driver means DriverNone, except for dead letters, where it means
// DriverFile if a path is set, else DriverRetained.
const (
	DriverFile     = "file"
	DriverSQL      = "sql"
	DriverMemory   = "memory"
	DriverRetained = "retained" // messages at the broker
	DriverNone     = "none"
)

// Stores are the stores of one service. The zero value has no stores.
type Stores struct {
	// Outbox stores messages to publish; nil if there is none. If several publishers use it,
	// only one of them sends at a time.
	Outbox outbox.Store
	// Dedup remembers handled messages; nil if there is none.
	Dedup dedup.Window
	// DeadLetters stores messages that cannot be handled; nil means retained messages at the
	// broker.
	DeadLetters deadletter.Store

	closers []func() error
}

// Options are the settings that a configuration cannot contain. The zero value is valid.
type Options struct {
	// DB is the database of the driver "sql", or nil. Closing the stores does not close it.
	DB *sql.DB
	// OutboxDB is a separate connection pool of the same database for the outbox. While
	// another session holds a lock on the table of the outbox, each waiting call occupies a
	// connection, and would soon occupy all of DB. Default: DB.
	OutboxDB *sql.DB
	// Dialect is that of both. Default: derived from the type of their driver, which does not
	// work for one that is wrapped, for example to make spans.
	Dialect sqltx.Dialect
	// Folder is the base of relative paths. Default: the working directory.
	Folder string
	// Migrated leaves the tables of the driver "sql" to a migration tool, which creates them
	// from the Schema functions of the store packages. Default false: missing tables are
	// created.
	Migrated bool
	// OnDamaged permits the recovery of a damaged file, and is called with a report on what
	// was recovered; the store then continues with it. Default nil: a damaged file is left
	// unchanged, and Open fails.
	OnDamaged func(store, report string)
}

// Check returns all errors in the store settings of a configuration, joined; each is an
// [event.SettingError] with its key. database reports whether the service has a database.
func Check(c *v1.Settings, database bool) error {
	var errs []error
	check := func(section, driver, path string, known ...string) {
		switch {
		case !slices.Contains(known, driver):
			errs = append(errs, event.NewSettingError(section, "driver", "want %s", list(known)))
		case driver == DriverFile && path == "":
			errs = append(errs, event.NewSettingError(section, "path", "is empty, want the path of a file"))
		case driver == DriverSQL && !database:
			errs = append(errs, event.NewSettingError(section, "driver", "sql needs a database"))
		}
	}
	check("Outbox", outboxDriver(c), c.GetOutbox().GetPath(), DriverFile, DriverSQL, DriverMemory, DriverNone)
	check("Dedup", dedupDriver(c), "", DriverSQL, DriverMemory, DriverNone)
	check("DeadLetters", DeadLettersDriver(c.GetDeadLetters()), c.GetDeadLetters().GetPath(), DriverSQL, DriverFile, DriverRetained)
	if w := c.GetDedup().GetWindow(); w != nil && w.AsDuration() <= 0 {
		errs = append(errs, event.NewSettingError("Dedup", "window", "is %v, want more than 0s", w.AsDuration()))
	}
	if l := c.GetDeadLetters().GetParkLimit(); l != nil && l.AsDuration() <= 0 {
		errs = append(errs, event.NewSettingError("DeadLetters", "park_limit", "is %v, want more than 0s", l.AsDuration()))
	}
	return errors.Join(errs...)
}

// Open opens the stores that the configuration names. The returned function closes them;
// messages in a durable outbox are sent after the next start. Open fails with the errors of
// Check, or if a file or table cannot be opened.
func Open(ctx context.Context, c *v1.Settings, o Options) (*Stores, func(), error) {
	s := new(Stores)
	if err := Check(c, o.DB != nil); err != nil {
		return nil, nil, err
	}
	err := errors.Join(s.openOutbox(ctx, c, o), s.openDedup(ctx, c, o), s.openLetters(ctx, c, o))
	if err != nil {
		return nil, nil, errors.Join(err, s.close())
	}
	return s, func() { _ = s.close() }, nil
}

// close closes the stores in the reverse order.
func (s *Stores) close() error {
	var errs []error
	for _, end := range slices.Backward(s.closers) {
		errs = append(errs, end())
	}
	s.closers = nil
	return errors.Join(errs...)
}

func (s *Stores) openOutbox(ctx context.Context, c *v1.Settings, o Options) (err error) {
	entries, bytes := atMost(c.GetOutbox().GetMaxEntries()), int64(atMost(c.GetOutbox().GetMaxBytes()))
	aside := atMost(c.GetOutbox().GetMaxQuarantined())
	later, laterBytes := atMost(c.GetOutbox().GetMaxDelayed()), int64(atMost(c.GetOutbox().GetMaxDelayedBytes()))
	switch outboxDriver(c) {
	case DriverFile:
		var f *outboxfile.Store
		f, err = outboxfile.Open(o.path(c.GetOutbox().GetPath()), outboxfile.Options{
			MaxEntries: entries, MaxBytes: bytes, MaxQuarantined: aside, MaxDelayed: later, MaxDelayedBytes: laterBytes,
			OnCorrupt: o.recovered("outbox", "messages"),
		})
		if err == nil {
			s.Outbox, s.closers = f, append(s.closers, f.Close)
		}
	case DriverSQL:
		var t *outboxsql.Store
		t, err = outboxsql.New(cmp.Or(o.OutboxDB, o.DB), outboxsql.Options{
			Dialect: o.Dialect, MaxEntries: entries, MaxBytes: bytes, MaxQuarantined: aside, MaxDelayed: later, MaxDelayedBytes: laterBytes,
		})
		if err == nil && !o.Migrated {
			err = t.Migrate(ctx)
		}
		if err == nil {
			s.Outbox, s.closers = t, append(s.closers, t.Close)
		}
	case DriverMemory:
		s.Outbox, err = outbox.NewMemory(outbox.MemoryOptions{
			MaxEntries: entries, MaxBytes: bytes, MaxQuarantined: aside, MaxDelayed: later, MaxDelayedBytes: laterBytes,
		})
	}
	return wrap("outbox", err)
}

func (s *Stores) openDedup(ctx context.Context, c *v1.Settings, o Options) (err error) {
	ttl := c.GetDedup().GetWindow().AsDuration()
	switch dedupDriver(c) {
	case DriverSQL:
		var w *dedupsql.Window
		w, err = dedupsql.New(o.DB, dedupsql.Options{Dialect: o.Dialect, TTL: ttl})
		if err == nil && !o.Migrated {
			err = w.Migrate(ctx)
		}
		if err == nil {
			s.Dedup = w
		}
	case DriverMemory:
		s.Dedup, err = dedup.NewMemory(dedup.MemoryOptions{TTL: ttl, MaxIDs: int(c.GetDedup().GetMaxIds())})
	}
	return wrap("dedup", err)
}

func (s *Stores) openLetters(ctx context.Context, c *v1.Settings, o Options) (err error) {
	most, bytes := atMost(c.GetDeadLetters().GetMaxLetters()), int64(atMost(c.GetDeadLetters().GetMaxBytes()))
	share := atMost(uint64(c.GetDeadLetters().GetShare()))
	switch DeadLettersDriver(c.GetDeadLetters()) {
	case DriverSQL:
		var t *deadlettersql.Store
		t, err = deadlettersql.New(o.DB, deadlettersql.Options{Dialect: o.Dialect, MaxLetters: most, MaxBytes: bytes, Share: share})
		if err == nil && !o.Migrated {
			err = t.Migrate(ctx)
		}
		if err == nil {
			s.DeadLetters = t
		}
	case DriverFile:
		var f *deadletterfile.Store
		f, err = deadletterfile.Open(o.path(c.GetDeadLetters().GetPath()), deadletterfile.Options{
			MaxLetters: most, MaxBytes: bytes, Share: share,
			OnCorrupt: o.recovered("dead letters", "letters"),
		})
		if err == nil {
			s.DeadLetters, s.closers = f, append(s.closers, f.Close)
		}
	}
	return wrap("dead letters", err)
}

func (o Options) path(p string) string {
	if filepath.IsAbs(p) || o.Folder == "" {
		return p
	}
	return filepath.Join(o.Folder, p)
}

// recovered returns nil without OnDamaged: damaged files are then not recovered.
func (o Options) recovered(store, things string) func(outboxfile.Recovery) {
	if o.OnDamaged == nil {
		return nil
	}
	return func(r outboxfile.Recovery) {
		o.OnDamaged(store, fmt.Sprintf("%v: %d %s recovered, %d not; the damaged file is %s", r.Err, r.Kept, things, r.Lost, r.Path))
	}
}

func wrap(store string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", store, err)
}

// atMost converts a limit of a configuration; 0 means the default of the store.
func atMost(n uint64) int { return int(min(n, math.MaxInt)) }
