package server

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"time"

	ggrpc "google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/stats"
	"google.golang.org/protobuf/proto"
)

// visit is a call from its admission until its answer is written to the connection.
// For gRPC a call ends when its answer is queued, but a caller that does not read can
// keep the answer queued for ever.
type visit struct {
	answered atomic.Bool
	gone     func() error // returns why the stream of the call ended, nil while it is open

	mu    sync.Mutex
	over  bool
	atEnd []func()
}

type visitKey struct{}

// newVisit returns the context of a call and its visit. The visit ends with the
// context, or when the answer is sent; gone returns why the stream of the call ended.
func newVisit(ctx context.Context, gone func() error) (context.Context, *visit) {
	v := &visit{gone: gone}
	context.AfterFunc(ctx, func() {
		if !v.answered.Load() {
			v.end()
		}
	})
	return context.WithValue(ctx, visitKey{}, v), v
}

// visitOf returns the visit of a call. A call that was not admitted by the door gets
// one that ends with its context.
func visitOf(ctx context.Context) *visit {
	if v, ok := ctx.Value(visitKey{}).(*visit); ok {
		return v
	}
	_, v := newVisit(ctx, ctx.Err)
	return v
}

// then calls f when the visit ends, or at once if it has ended.
func (v *visit) then(f func()) {
	v.mu.Lock()
	over := v.over
	if !over {
		v.atEnd = append(v.atEnd, f)
	}
	v.mu.Unlock()
	if over {
		f()
	}
}

func (v *visit) end() {
	v.mu.Lock()
	do := v.atEnd
	v.over, v.atEnd = true, nil
	v.mu.Unlock()
	for _, f := range do {
		f()
	}
}

// answer is a message for the codec to encode, and the visit that it belongs to.
type answer struct {
	message any
	visit   *visit
	conn    *timedConn
	timeout time.Duration
}

// answers is the outermost interceptor. Answers are not compressed: that would make a
// copy whose release gRPC does not report.
func (d *door) answers(ctx context.Context, req any, _ *ggrpc.UnaryServerInfo, handler ggrpc.UnaryHandler) (any, error) {
	reply, err := handler(ctx, req)
	if err != nil {
		return nil, err
	}
	if err := ggrpc.SetSendCompressor(ctx, encoding.Identity); err != nil {
		return nil, err
	}
	a := &answer{message: reply, visit: visitOf(ctx), timeout: 2 * d.timeout}
	if p, ok := peer.FromContext(ctx); ok {
		if info, ok := p.AuthInfo.(connInfo); ok {
			a.conn = info.conn
		}
	}
	return a, nil
}

// pooled is the smallest capacity of a buffer that gRPC returns to its pool.
const pooled = 1<<10 + 1

// encode encodes an answer. Its visit ends when gRPC has sent the answer or the
// connection ends. The connection is closed if the answer is not read in time, as with
// HTTP.
func (a *answer) encode() (mem.BufferSlice, error) {
	m, ok := a.message.(proto.Message)
	if !ok {
		return nil, errNoMessage(a.message)
	}
	data, err := proto.MarshalOptions{}.MarshalAppend(make([]byte, 0, max(pooled, proto.Size(m))), m)
	if err != nil {
		return nil, err
	}
	a.visit.answered.Store(true)
	if a.conn != nil {
		timer := time.AfterFunc(a.timeout, func() { _ = a.conn.Close() })
		a.visit.then(func() { timer.Stop() })
		a.conn.holds(a.visit)
	}
	return mem.BufferSlice{mem.NewBuffer(&data, a)}, nil
}

// Get implements mem.BufferPool.
func (a *answer) Get(length int) *[]byte {
	data := make([]byte, length)
	return &data
}

// Put implements mem.BufferPool. gRPC calls it when it no longer needs the answer.
func (a *answer) Put(*[]byte) { a.visit.end() }

// queued is notified when an answer is queued. If the caller has cancelled the call,
// gRPC drops the answer without returning its buffer, so the visit ends here. At this
// point only the caller can have ended the stream, because its status is not yet
// written.
type queued struct{}

var _ stats.Handler = queued{}

// HandleRPC implements stats.Handler.
func (queued) HandleRPC(_ context.Context, s stats.RPCStats) {
	out, ok := s.(*stats.OutPayload)
	if !ok {
		return
	}
	if a, ok := out.Payload.(*answer); ok && a.visit.gone() != nil {
		a.visit.end()
	}
}

// TagRPC implements stats.Handler.
func (queued) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context { return ctx }

// TagConn implements stats.Handler.
func (queued) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }

// HandleConn implements stats.Handler.
func (queued) HandleConn(context.Context, stats.ConnStats) {}

// timed creates connections that close when nobody reads from them, and makes them
// available to calls.
type timed struct {
	credentials.TransportCredentials
	timeout time.Duration
}

func newTimed(timeout time.Duration) timed { return timed{insecure.NewCredentials(), timeout} }

// ServerHandshake implements credentials.TransportCredentials.
func (c timed) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	conn := &timedConn{Conn: raw, timeout: c.timeout, visits: make(map[*visit]struct{})}
	return conn, connInfo{credentials.CommonAuthInfo{SecurityLevel: credentials.NoSecurity}, conn}, nil
}

// Clone implements credentials.TransportCredentials.
func (c timed) Clone() credentials.TransportCredentials {
	return timed{c.TransportCredentials.Clone(), c.timeout}
}

type connInfo struct {
	credentials.CommonAuthInfo
	conn *timedConn
}

// AuthType implements credentials.AuthInfo.
func (connInfo) AuthType() string { return "insecure" }

// timedConn bounds the time of each write. When it closes, it ends the visits whose
// answers it holds.
type timedConn struct {
	net.Conn
	timeout time.Duration

	mu     sync.Mutex
	closed bool
	visits map[*visit]struct{}
}

// Write implements net.Conn.
func (c *timedConn) Write(p []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(c.timeout)); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}

// holds records a visit until it ends.
func (c *timedConn) holds(v *visit) {
	c.mu.Lock()
	closed := c.closed
	if !closed {
		c.visits[v] = struct{}{}
	}
	c.mu.Unlock()
	if closed {
		v.end()
		return
	}
	v.then(func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.visits, v)
	})
}

// Close implements net.Conn.
func (c *timedConn) Close() error {
	err := c.Conn.Close()
	c.mu.Lock()
	visits := c.visits
	c.closed, c.visits = true, nil
	c.mu.Unlock()
	for v := range visits {
		v.end()
	}
	return err
}
