package broker

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// Recovery is what the broker found in its file at the last start, see [WithFile].
type Recovery struct {
	Sessions, Messages, Retained int
	// Cut is the number of bytes at the end of the file that were damaged or incomplete, and
	// were removed. After a kill of the process these are at most changes that were not
	// acknowledged.
	Cut int64
}

// recovered is the state while a file is read.
type recovered struct {
	sessions   map[uint64]*recoveredSession
	messages   map[uint64]*message
	deliveries map[uint64]*recoveredDelivery
	retained   map[string]*message
}

type recoveredSession struct {
	id       string
	version  byte
	expiry   uint32
	left     int64
	subs     map[string]savedSubscription
	received map[uint16]struct{}
	lastID   uint16
}

type recoveredDelivery struct {
	delivery

	session uint64
	group   string
}

// errJournalVersion means that the file belongs to a newer version or to another program.
var errJournalVersion = errors.New("not a journal of this version of the broker")

// readJournal reads the intact part of a file. It returns the number of bytes that it cut.
func readJournal(path string) (r *recovered, cut int64, err error) {
	r = &recovered{
		sessions: make(map[uint64]*recoveredSession), messages: make(map[uint64]*message),
		deliveries: make(map[uint64]*recoveredDelivery), retained: make(map[string]*message),
	}
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return r, 0, nil
	}
	if err != nil {
		return nil, 0, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, 0, err
	}
	header := make([]byte, len(journalHeader))
	switch n, err := io.ReadFull(file, header); {
	case n < len(header) && bytes.HasPrefix([]byte(journalHeader), header[:n]):
		return r, int64(n), nil
	case err != nil || string(header) != journalHeader:
		return nil, 0, fmt.Errorf("%s: %w", path, errJournalVersion)
	}
	whole := int64(len(header))
	for {
		size, err := r.frame(file, info.Size()-whole)
		if err != nil {
			return r, info.Size() - whole, nil
		}
		whole += size
	}
}

var errFrame = errors.New("frame is not whole")

// frame reads a frame and applies all its records or none.
func (r *recovered) frame(file io.Reader, left int64) (size int64, err error) {
	var header [frameHeader]byte
	if _, err := io.ReadFull(file, header[:]); err != nil {
		return 0, err
	}
	n := int64(binary.LittleEndian.Uint32(header[:]))
	if n == 0 || n > left-frameHeader {
		return 0, errFrame
	}
	records := make([]byte, n)
	if _, err := io.ReadFull(file, records); err != nil {
		return 0, err
	}
	if crc32.Checksum(records, checksums) != binary.LittleEndian.Uint32(header[4:]) {
		return 0, errFrame
	}
	for fields := (reader{b: records}); len(fields.b) > 0; {
		if r.record(&fields); fields.bad {
			return 0, errFrame
		}
	}
	return frameHeader + n, nil
}

// record applies one record.
func (r *recovered) record(f *reader) {
	switch t := recordType(f.byte()); t {
	case recordSession:
		r.session(f)
	case recordEnd:
		r.end(f.number())
	case recordSubscribe:
		r.subscribe(f)
	case recordUnsubscribe:
		if s := r.sessions[f.number()]; s != nil {
			delete(s.subs, f.string())
		} else {
			f.string()
		}
	case recordMessage:
		m := &message{number: f.number(), expires: f.time(), expiry: uint32(f.small(math.MaxUint32))}
		flags := f.small(retainFlag | 2)
		m.qos, m.retain = byte(flags&3), flags&retainFlag != 0
		m.topic, m.from, m.props, m.payload = f.string(), f.string(), bytes.Clone(f.bytes()), bytes.Clone(f.bytes())
		r.messages[m.number] = m
	case recordQueue:
		r.queue(f)
	case recordSent:
		d := r.deliveries[f.number()]
		id, state := uint16(f.small(math.MaxUint16)), state(f.small(uint64(released)))
		if d != nil {
			d.id, d.state = id, state
			if s := r.sessions[d.session]; s != nil {
				s.lastID = id
			}
		}
	case recordDone:
		delete(r.deliveries, f.number())
	case recordReceived, recordReleased:
		s, id := r.sessions[f.number()], uint16(f.small(math.MaxUint16))
		if s != nil && t == recordReceived {
			s.received[id] = struct{}{}
		} else if s != nil {
			delete(s.received, id)
		}
	case recordRetain:
		if m := r.messages[f.number()]; m != nil {
			r.retained[m.topic] = m
		}
	case recordForget:
		delete(r.retained, f.string())
	default:
		f.bad = true
	}
}

func (r *recovered) session(f *reader) {
	number := f.number()
	s := r.sessions[number]
	if s == nil {
		s = &recoveredSession{subs: make(map[string]savedSubscription), received: make(map[uint16]struct{})}
		r.sessions[number] = s
	}
	s.id, s.version = f.string(), f.byte()
	s.expiry, s.left = uint32(f.small(math.MaxUint32)), int64(f.small(math.MaxInt64))
}

func (r *recovered) end(number uint64) {
	delete(r.sessions, number)
	// Its deliveries are removed at the end, see [recovered.into].
}

func (r *recovered) subscribe(f *reader) {
	s, id, options, filter := r.sessions[f.number()], uint32(f.small(math.MaxUint32)), byte(f.small(0x3F)), f.string()
	share, plain, err := splitFilter(filter)
	if err != nil {
		f.bad = true
	}
	if s == nil || f.bad {
		return
	}
	s.subs[filter] = savedSubscription{id: id, request: request{
		filter: filter, share: share, plain: plain, qos: options & 3,
		noLocal: options&4 != 0, retainAsPublished: options&8 != 0, retainHandling: options >> 4,
	}}
}

func (r *recovered) queue(f *reader) {
	d := &recoveredDelivery{session: f.number()}
	d.number, d.msg = f.number(), r.messages[f.number()]
	flags := f.small(retainFlag | 2)
	d.qos, d.retain = byte(flags&3), flags&retainFlag != 0
	d.group = f.string()
	for range f.small(1 << 20) {
		if d.ids = append(d.ids, uint32(f.small(math.MaxUint32))); f.bad {
			return
		}
	}
	if d.msg == nil || d.qos == 0 {
		f.bad = true
		return
	}
	r.deliveries[d.number] = d
}

// into sets the state of the core, whose mutex is held, to what was read. Messages and
// sessions without a number get a new one.
func (r *recovered) into(c *core, now time.Time) (found Recovery) {
	c.forget()
	for _, m := range r.retained {
		if !m.expired() {
			c.retained.set(m)
			found.Retained++
		}
	}
	sessions := make(map[uint64]*session)
	for number, saved := range r.sessions {
		left := now
		if saved.left > 0 {
			left = time.Unix(saved.left, 0)
		}
		rest := time.Duration(saved.expiry)*time.Second - now.Sub(left)
		if saved.expiry == 0 || (saved.expiry != forever && rest <= 0) || c.sessions[saved.id] != nil {
			continue
		}
		s := c.newSession(saved.id, saved.version)
		s.expiry, s.left, s.received, s.out.lastID = saved.expiry, left, saved.received, saved.lastID
		for _, sub := range saved.subs {
			s.subscribe(sub.request, sub.id)
		}
		if s.expiry != forever {
			s.startExpiry(rest)
		}
		sessions[number] = s
		found.Sessions++
	}
	list := make([]*recoveredDelivery, 0, len(r.deliveries))
	for _, d := range r.deliveries {
		list = append(list, d)
	}
	slices.SortFunc(list, func(a, b *recoveredDelivery) int { return int(int64(a.number) - int64(b.number)) })
	for _, d := range list {
		s := sessions[d.session]
		if s == nil {
			continue
		}
		again := d.delivery
		again.group = c.router.groups[d.group]
		s.out.restore(&again)
		found.Messages++
	}
	for _, m := range r.messages {
		m.number = 0
	}
	return found
}

// restore adds a delivery that may have been sent before.
func (w *window) restore(d *delivery) {
	if d.number, d.connection = 0, 0; d.state != queued {
		w.byID[d.id] = d
	}
	w.add(d)
}

// openJournal reads the file, if there is one, and begins a new file with its state.
func (c *core) openJournal() error {
	path := c.options.file
	if path == "" {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("broker: %w", err)
	}
	unlock, err := lockFile(path + ".lock")
	if err != nil {
		return fmt.Errorf("broker: lock %s, which another broker may use: %w", path, err)
	}
	found, cut, err := readJournal(path)
	if err != nil {
		unlock()
		return fmt.Errorf("broker: %w", err)
	}
	if cut > 0 {
		c.options.log.Warn("broker: the end of the journal is damaged and was cut", "path", path, "bytes", cut)
	}
	c.locked(func() {
		c.recovery = found.into(c, time.Now())
		c.recovery.Cut = cut
	})
	j, err := startJournal(c.options, unlock, c.locked, c.snapshotFrames, c.liveBytes)
	if err != nil {
		unlock()
		return err
	}
	c.locked(func() { c.record.journal = j })
	return nil
}

// snapshotFrames encodes the state for a new file.
func (c *core) snapshotFrames(j *journal) (now snapshotFrames) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now.frames = c.record.frames(c.sessions, c.retained.byTopic)
	now.pending, now.position = j.take()
	return now
}

// liveBytes returns about the size of the state in a new file. It copies nothing, so that
// it holds the core's mutex much shorter than a snapshot.
func (c *core) liveBytes() (n int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.record.live(c.sessions, c.retained.byTopic)
}

// closeJournal ends the journal; if abrupt, nothing more is written.
func (c *core) closeJournal(abrupt bool) {
	var j *journal
	c.locked(func() { j, c.record.journal = c.record.journal, nil })
	j.close(abrupt)
}
