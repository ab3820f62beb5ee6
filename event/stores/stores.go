// Package stores opens the stores that a configuration names: an outbox, a
// dedup window and dead letters are then a matter of configuration.
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
)

// The drivers. Empty is DriverNone, but for dead letters, where it is DriverFile
// with a path, else DriverRetained.
const (
	DriverFile     = "file"
	DriverSQL      = "sql"
	DriverMemory   = "memory"
	DriverRetained = "retained" // messages at the broker
	DriverNone     = "none"
)

// Stores are the stores of one service. The zero value has none.
type Stores struct {
	// Outbox takes what is published; nil for none. Of several publishers with it
	// one sends at a time.
	Outbox outbox.Store
	// Dedup remembers handled messages; nil for none.
	Dedup dedup.Window
	// DeadLetters keeps what cannot be handled; nil for retained messages at the
	// broker.
	DeadLetters deadletter.Store

	closers []func() error
}

// Options are what a configuration does not have. The zero value is useful.
type Options struct {
	// DB is the database of the driver "sql"; nil without one. It is not closed
	// here.
	DB *sql.DB
	// OutboxDB is a pool of the same database for the outbox alone: who waits where
	// somebody has locked its table keeps a connection meanwhile, and would soon keep
	// all. Default: DB.
	OutboxDB *sql.DB
	// Folder is where relative paths start. Default: the working directory.
	Folder string
	// Migrated leaves the tables of the driver "sql" to whoever makes them with
	// the Schema of their packages. Default false: they are made when missing.
	Migrated bool
	// OnDamaged permits to recover a damaged file, and is told what of it was kept;
	// the store works on. Default: it is left as it is, and an error of Open.
	OnDamaged func(store, report string)
}

// Check reports everything that is wrong with the stores of a configuration, with
// the keys ([event.SettingError]). database is whether there is one.
func Check(c *v1.Settings, database bool) error {
	var errs []error
	check := func(section, driver, path string, known ...string) {
		switch {
		case !slices.Contains(known, driver):
			errs = append(errs, event.Setting(section, "driver", "want %s", list(known)))
		case driver == DriverFile && path == "":
			errs = append(errs, event.Setting(section, "path", "is empty, want the path of a file"))
		case driver == DriverSQL && !database:
			errs = append(errs, event.Setting(section, "driver", "sql needs a database"))
		}
	}
	check("Outbox", outboxDriver(c), c.GetOutbox().GetPath(), DriverFile, DriverSQL, DriverMemory, DriverNone)
	check("Dedup", dedupDriver(c), "", DriverSQL, DriverMemory, DriverNone)
	check("DeadLetters", DeadLettersDriver(c.GetDeadLetters()), c.GetDeadLetters().GetPath(), DriverSQL, DriverFile, DriverRetained)
	if w := c.GetDedup().GetWindow(); w != nil && w.AsDuration() <= 0 {
		errs = append(errs, event.Setting("Dedup", "window", "is %v, want more than 0s", w.AsDuration()))
	}
	if l := c.GetDeadLetters().GetParkLimit(); l != nil && l.AsDuration() <= 0 {
		errs = append(errs, event.Setting("DeadLetters", "park_limit", "is %v, want more than 0s", l.AsDuration()))
	}
	return errors.Join(errs...)
}

// Open opens what the configuration names. The returned function closes it; what
// waits in a durable outbox is sent after the next start. It fails for what Check
// reports, and when a file or a table cannot be opened.
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
	switch outboxDriver(c) {
	case DriverFile:
		var f *outboxfile.Store
		f, err = outboxfile.Open(o.path(c.GetOutbox().GetPath()), outboxfile.Options{
			MaxEntries: entries, MaxBytes: bytes, MaxQuarantined: aside,
			OnCorrupt: o.recovered("outbox", "messages"),
		})
		if err == nil {
			s.Outbox, s.closers = f, append(s.closers, f.Close)
		}
	case DriverSQL:
		var t *outboxsql.Store
		t, err = outboxsql.New(cmp.Or(o.OutboxDB, o.DB), outboxsql.Options{MaxEntries: entries, MaxBytes: bytes, MaxQuarantined: aside})
		if err == nil && !o.Migrated {
			err = t.Migrate(ctx)
		}
		if err == nil {
			s.Outbox, s.closers = t, append(s.closers, t.Close)
		}
	case DriverMemory:
		s.Outbox, err = outbox.NewMemory(outbox.MemoryOptions{MaxEntries: entries, MaxBytes: bytes, MaxQuarantined: aside})
	}
	return wrap("outbox", err)
}

func (s *Stores) openDedup(ctx context.Context, c *v1.Settings, o Options) (err error) {
	ttl := c.GetDedup().GetWindow().AsDuration()
	switch dedupDriver(c) {
	case DriverSQL:
		var w *dedupsql.Window
		w, err = dedupsql.New(o.DB, dedupsql.Options{TTL: ttl})
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
		t, err = deadlettersql.New(o.DB, deadlettersql.Options{MaxLetters: most, MaxBytes: bytes, Share: share})
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

// recovered is nil where nobody would be told: nothing is recovered then.
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

// atMost is a bound of a configuration; 0 leaves the default of the store.
func atMost(n uint64) int { return int(min(n, math.MaxInt)) }
