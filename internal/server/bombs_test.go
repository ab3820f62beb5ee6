package server

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	nethttp "net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	kerrors "github.com/go-kratos/kratos/v2/errors"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/types/known/durationpb"

	devicev1 "github.com/kratos-mqtt/kratos-mqtt/api/device/v1"
	reportv1 "github.com/kratos-mqtt/kratos-mqtt/api/report/v1"
	"github.com/kratos-mqtt/kratos-mqtt/internal/conf"
)

// field encodes a protobuf field of type bytes.
func field(number protowire.Number, data []byte) []byte {
	return append(protowire.AppendTag(nil, number, protowire.BytesType), protowire.AppendBytes(nil, data)...)
}

// command encodes a SendCommandRequest with one argument; list is an encoded
// google.protobuf.ListValue.
func command(list []byte) []byte {
	entry := append(field(1, []byte("a")), field(2, field(6, list))...)
	return append(append(field(1, []byte("d")), field(2, []byte("n"))...), field(3, field(1, entry))...)
}

// emptyValues encodes empty Values of two bytes each.
func emptyValues(size int) []byte { return bytes.Repeat([]byte{0x0A, 0}, size/2) }

// deepValues encodes lists nested in lists.
func deepValues(levels int) (list []byte) {
	for range levels {
		list = field(1, field(6, list))
	}
	return list
}

// rawCodec sends bytes unchanged, so that the test needs no memory for messages.
type rawCodec struct{}

func (rawCodec) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(*v.(*[]byte))}, nil
}
func (rawCodec) Unmarshal(mem.BufferSlice, any) error { return nil }
func (rawCodec) Name() string                         { return "proto" }

// allocated returns how many bytes the whole process allocated during f.
func allocated(f func()) int {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return int(after.TotalAlloc - before.TotalAlloc)
}

// A request that needs far more memory than bytes is refused before it is decoded, by
// gRPC as by MQTT and HTTP, also when it is compressed. 4 MB of nested Values used to
// take 220 MB.
func TestBombsByGRPC(t *testing.T) { // not parallel: it measures
	room := NewRoom()
	conn := serveGRPCWith(t, &stub{}, room, &conf.Server_GRPC{})
	send := func(data []byte, opts ...grpc.CallOption) error {
		opts = append(opts, grpc.ForceCodecV2(rawCodec{}), grpc.MaxCallSendMsgSize(64<<20))
		return conn.Invoke(t.Context(), devicev1.DeviceService_SendCommand_FullMethodName, &data, new([]byte), opts...)
	}
	if err := send(command(field(1, field(6, nil)))); err != nil {
		t.Fatal("a small one: ", err)
	}
	const most = 48 << 20 // for all of them together, including their encoding and gRPC's own memory
	for name, c := range map[string]struct {
		data []byte
		opts []grpc.CallOption
		code codes.Code
	}{
		"4 MB":               {command(emptyValues(4<<20 - 100)), nil, codes.ResourceExhausted},
		"4 MB compressed":    {command(emptyValues(4<<20 - 100)), []grpc.CallOption{grpc.UseCompressor(gzip.Name)}, codes.ResourceExhausted},
		"as large as can be": {command(emptyValues(maxBody - 100)), nil, codes.InvalidArgument},
		"nested too deep":    {command(deepValues(60)), nil, codes.InvalidArgument},
		"no protobuf":        {[]byte{0xFF}, nil, codes.InvalidArgument},
	} {
		took := allocated(func() {
			var sending sync.WaitGroup
			for range 4 {
				sending.Go(func() {
					if err := send(c.data, c.opts...); status.Code(err) != c.code {
						t.Errorf("%s: got %v, want %s", name, err, c.code)
					}
				})
			}
			sending.Wait()
		})
		t.Logf("%-20s four at once: %.1f MiB allocated", name, float64(took)/(1<<20))
		if took > most {
			t.Errorf("%s: %d MiB allocated", name, took>>20)
		}
	}
	wantEmpty(t, room)
}

// wantEmpty waits until all shares of the room are returned.
func wantEmpty(t *testing.T, room *Room) {
	t.Helper()
	eventually(t, func() bool { return room.left.Load() == allRoom })
}

func eventually(t *testing.T, met func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(30 * time.Second); !met(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatal("not met in time")
		}
	}
}

// HTTP has the limits of the subscribers: what they would refuse is not published.
func TestBombsByHTTP(t *testing.T) {
	t.Parallel()
	room := NewRoom()
	s := &stub{}
	url := serveHTTPWith(t, s, room, &conf.Server_HTTP{})
	nested := func(levels int) string {
		return `{"name":"n","arguments":{"a":` + strings.Repeat("[", levels) + strings.Repeat("]", levels) + `}}`
	}
	for name, c := range map[string]struct {
		body string
		code int
	}{
		"as deep as can be":  {nested(98), 200},
		"deeper":             {nested(99), 400},
		"9,990 levels":       {nested(9990), 400},
		"many empty objects": {`{"name":"n","arguments":{"a":[{}` + strings.Repeat(",{}", 90_000) + `]}}`, 400},
	} {
		if code, answer := call(t, "POST", url+"/v1/devices/d/commands", c.body); code != c.code {
			t.Errorf("%s: %d %v, want %d", name, code, answer, c.code)
		}
	}
	wantEmpty(t, room)
}

// Request bodies that never end take memory only up to the bound, and small requests
// are still served. 900 such bodies used to take 500 MB.
func TestHalfBodies(t *testing.T) {
	t.Parallel()
	room := NewRoom()
	url := serveHTTPWith(t, &stub{}, room, &conf.Server_HTTP{})
	addr := strings.TrimPrefix(url, "http://")
	half := bytes.Repeat([]byte(" "), maxBody-100)
	var refused atomic.Int64
	var conns []net.Conn
	var sending sync.WaitGroup
	for range 2 * allRoom / (1 << 20) {
		c, err := new(net.Dialer).DialContext(t.Context(), "tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, c)
		sending.Go(func() {
			_, _ = fmt.Fprintf(c, halfReport, maxBody)
			_, _ = c.Write(half)
			text, _ := io.ReadAll(c)
			refused.Add(int64(strings.Count(string(text), " 503 ")))
		})
	}
	eventually(t, func() bool { return refused.Load() > 0 })
	if left := room.left.Load(); left < 0 || left > allRoom/2 {
		t.Errorf("room left: %d of %d", left, allRoom)
	}
	if code, answer := call(t, "POST", url+"/v1/reports", validReport); code != 200 {
		t.Errorf("a small report meanwhile: %d %v", code, answer)
	}
	for _, c := range conns {
		_ = c.Close()
	}
	sending.Wait()
	wantEmpty(t, room)
}

// halfReport is the header of a report, without its body.
const halfReport = "POST /v1/reports HTTP/1.1\r\nHost: x.localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"

// An incomplete body keeps its connection only for the time limit of a request. There
// used to be no limit.
func TestHalfBodiesEnd(t *testing.T) {
	t.Parallel()
	url := serveHTTPWith(t, &stub{}, NewRoom(), &conf.Server_HTTP{Timeout: durationpb.New(100 * time.Millisecond)})
	c, err := new(net.Dialer).DialContext(t.Context(), "tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := fmt.Fprintf(c, halfReport+`{"report_type":`, maxBody); err != nil {
		t.Fatal(err)
	}
	_ = c.SetReadDeadline(time.Now().Add(30 * time.Second))
	text, err := io.ReadAll(c)
	if err != nil || !strings.HasPrefix(string(text), "HTTP/1.1 408 ") {
		t.Errorf("%.100s, %v", text, err)
	}
}

// An incomplete gRPC message occupies a call only for the time limit of a call.
func TestHalfMessagesByGRPC(t *testing.T) {
	t.Parallel()
	conn := serveGRPCWith(t, &stub{}, NewRoom(), &conf.Server_GRPC{Timeout: durationpb.New(100 * time.Millisecond)})
	stream, err := conn.NewStream(t.Context(), &grpc.StreamDesc{ClientStreams: true}, devicev1.DeviceService_SendCommand_FullMethodName)
	if err != nil {
		t.Fatal(err)
	}
	// Nothing is sent, not even the end of the stream.
	if err := stream.RecvMsg(new(devicev1.SendCommandReply)); status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("got %v", err)
	}
}

// The memory for answers is bounded over all requests, like that for requests.
func TestRoom(t *testing.T) {
	t.Parallel()
	room := NewRoom()
	const each = 8 << 20
	var shares []*share
	for {
		s := room.share()
		if err := s.take(each + ownRoom); err != nil {
			if e := kerrors.FromError(err); e.Code != nethttp.StatusServiceUnavailable || e.Reason != "BUSY" || s.taken != 0 {
				t.Errorf("got %v, %d taken", err, s.taken)
			}
			if err := s.take(ownRoom); err != nil {
				t.Errorf("a small one: %v", err)
			}
			break
		}
		shares = append(shares, s)
	}
	if len(shares) != allRoom/each {
		t.Errorf("%d had room", len(shares))
	}
	for _, s := range shares {
		s.giveBack()
		s.giveBack()
	}
	wantEmpty(t, room)
}

// A large answer that finds no room is refused, with the time to try again.
func TestAnswersNeedRoom(t *testing.T) {
	t.Parallel()
	room := NewRoom()
	s := &stub{reportData: strings.Repeat("\x01", 1<<20)}
	url := serveHTTPWith(t, s, room, &conf.Server_HTTP{})
	conn := serveGRPCWith(t, s, room, &conf.Server_GRPC{})
	all := room.share()
	if err := all.take(allRoom + ownRoom); err != nil {
		t.Fatal(err)
	}
	res, err := nethttp.Get(url + "/v1/reports")
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	nethttp.DefaultClient.CloseIdleConnections()
	if res.StatusCode != nethttp.StatusServiceUnavailable || res.Header.Get("Retry-After") != "1" {
		t.Errorf("by HTTP: %d %v", res.StatusCode, res.Header)
	}
	if err := listByGRPC(t.Context(), conn); status.Code(err) != codes.Unavailable {
		t.Errorf("by gRPC: %v", err)
	}
	all.giveBack()
	if code, _ := call(t, "GET", url+"/v1/reports", ""); code != 200 {
		t.Errorf("with room: %d", code)
	}
	if err := listByGRPC(t.Context(), conn); err != nil {
		t.Errorf("with room: %v", err)
	}
	wantEmpty(t, room)
}

func listByGRPC(ctx context.Context, conn *grpc.ClientConn) error {
	_, err := reportv1.NewReportServiceClient(conn).ListReports(ctx, new(reportv1.ListReportsRequest))
	return err
}
