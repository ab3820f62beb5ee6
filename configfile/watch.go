package configfile

import (
	"context"
	"errors"
	"os"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/kratos-mqtt/kratos-mqtt/event"
)

// interval is how often a watched file is looked at.
const interval = time.Second

// Logger receives what a [Watcher] reports. Kratos' *log.Helper is one.
type Logger interface {
	Infof(format string, args ...any)
	Warnf(format string, args ...any)
	Errorf(format string, args ...any)
}

// Watcher reads a file again when it changes. It has the methods of Kratos' transport.Server,
// so that kratos.Server starts and stops it with the service. All methods are safe for
// concurrent use.
type Watcher struct {
	path   string
	log    Logger
	accept func(text []byte) // of the changed file

	once sync.Once
	stop chan struct{}
	busy chan struct{} // has room for one: the Start that runs

	// Used by Start only.
	text  string // in use, or refused
	next  string // what the last look found
	fresh bool   // next differs from text
	told  bool   // that the file cannot be read
}

// NewWatcher returns a watcher of a file whose present content is in use. Start looks at the
// file every second, and reads it once it has stopped changing. If it has no problem and
// check, which may be nil, finds none, apply receives the message that was read; it should
// call Reload of the brokers and servers. Otherwise nothing changes, and each problem is
// logged as an error with file, line and key. Each setting that apply returns with the cause
// [event.ErrNeedsRestart] is logged as a warning. The functions are called by one goroutine,
// one at a time, and never after Stop has returned nil.
func NewWatcher[M proto.Message](path string, log Logger, check, apply func(M) error) *Watcher {
	w := &Watcher{path: path, log: log, stop: make(chan struct{}), busy: make(chan struct{}, 1)}
	w.accept = func(text []byte) {
		var none M
		m, _ := none.ProtoReflect().New().Interface().(M)
		d := newDecoder(path, os.LookupEnv)
		d.read(text, m, func() error {
			if check == nil {
				return nil
			}
			return check(m)
		})
		if len(d.problems) > 0 {
			d.problems.sort()
			for _, p := range d.problems {
				log.Errorf("configuration: the changed file is not used, all settings stay as they are: %v", p)
			}
			return
		}
		d.found(apply(m))
		d.problems.sort()
		except := ""
		for _, p := range d.problems {
			if errors.Is(p, event.ErrNeedsRestart) {
				log.Warnf("configuration: %v", p)
				except = ", except for what needs a restart"
			} else {
				log.Errorf("configuration: %v", p)
			}
		}
		log.Infof("configuration: the changed file %s is in use%s", path, except)
	}
	if text, err := os.ReadFile(path); err == nil {
		w.text = string(text)
	}
	return w
}

// Start watches the file until ctx ends or Stop is called, and then returns nil. A watcher
// that was stopped does nothing.
func (w *Watcher) Start(ctx context.Context) error {
	select {
	case w.busy <- struct{}{}:
	case <-w.stop:
		return nil
	}
	defer func() { <-w.busy }()
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-w.stop:
			return nil
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		select {
		case <-w.stop: // both were ready
			return nil
		default:
			w.look()
		}
	}
}

// Stop ends the watch, and waits within ctx for a change that is being applied.
func (w *Watcher) Stop(ctx context.Context) error {
	w.once.Do(func() { close(w.stop) })
	select {
	case w.busy <- struct{}{}:
		<-w.busy
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// look reads the file, and accepts a change that it finds for the second time: until then the
// file may be incomplete. Its time may be the same after a change soon after another one.
func (w *Watcher) look() {
	read, err := os.ReadFile(w.path)
	text := string(read)
	switch {
	case err != nil:
		if !w.told {
			w.told = true
			w.log.Errorf("configuration: the file cannot be read, all settings stay as they are: %v", err)
		}
		return
	case text == w.text:
		w.fresh = false
	case !w.fresh || text != w.next:
		w.next, w.fresh = text, true
	default:
		w.text, w.fresh = text, false
		w.accept(read)
	}
	w.told = false
}
