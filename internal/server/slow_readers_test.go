package server

import (
	"bytes"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding/gzip"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	reportv1 "github.com/kratos-mqtt/kratos-mqtt/api/report/v1"
	"github.com/kratos-mqtt/kratos-mqtt/internal/conf"
)

// frames is an HTTP/2 client that behaves as no library would.
type frames struct {
	*http2.Framer
	conn net.Conn
	next uint32
}

func dialFrames(t *testing.T, addr string, settings ...http2.Setting) *frames {
	t.Helper()
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	f := &frames{Framer: http2.NewFramer(conn, conn), conn: conn, next: 1}
	if _, err := io.WriteString(conn, http2.ClientPreface); err != nil {
		t.Fatal(err)
	}
	if err := f.WriteSettings(settings...); err != nil {
		t.Fatal(err)
	}
	return f
}

// call starts a call and returns its stream.
func (f *frames) call(t *testing.T, method string) uint32 {
	t.Helper()
	var block bytes.Buffer
	enc := hpack.NewEncoder(&block)
	for _, h := range [][2]string{
		{":method", "POST"},
		{":scheme", "http"},
		{":path", method},
		{":authority", "localhost"},
		{"content-type", "application/grpc"},
		{"te", "trailers"},
	} {
		_ = enc.WriteField(hpack.HeaderField{Name: h[0], Value: h[1]})
	}
	id := f.next
	f.next += 2
	if err := f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block.Bytes(), EndHeaders: true}); err != nil {
		t.Fatal(err)
	}
	return id
}

// answersUntil answers settings and pings, which keeps the connection alive, until the
// connection ends. It does not enlarge any flow-control window.
func (f *frames) answersUntil(ended chan<- error) {
	own := http2.NewFramer(f.conn, f.conn) // a Framer is not safe for concurrent use, unlike the connection
	for {
		frame, err := own.ReadFrame()
		if err != nil {
			ended <- err
			return
		}
		switch frame := frame.(type) {
		case *http2.SettingsFrame:
			if !frame.IsAck() {
				_ = own.WriteSettingsAck()
			}
		case *http2.PingFrame:
			if !frame.IsAck() {
				_ = own.WritePing(true, frame.Data)
			}
		}
	}
}

// lists starts calls without a window for their answers, and returns their streams.
func (f *frames) lists(t *testing.T, n int) (streams []uint32) {
	t.Helper()
	for range n {
		id := f.call(t, reportv1.ReportService_ListReports_FullMethodName)
		if err := f.WriteData(id, true, make([]byte, 5)); err != nil {
			t.Fatal(err)
		}
		streams = append(streams, id)
	}
	return streams
}

func noWindow() http2.Setting { return http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0} }

// Answers that their callers do not read are bounded by the room and by the time limit
// of a call, as with HTTP. 250 of them used to take 470 MB for ever.
func TestAnswersThatNobodyTakes(t *testing.T) {
	t.Parallel()
	room := NewRoom()
	s := &stub{reportData: strings.Repeat("x", 1<<20)}
	conn := serveGRPCWith(t, s, room, &conf.Server_GRPC{Timeout: durationpb.New(5 * time.Second)})
	f := dialFrames(t, conn.Target(), noWindow())
	ended := make(chan error, 1)
	go f.answersUntil(ended)
	f.lists(t, maxStreams)
	eventually(t, func() bool { return room.left.Load() < 16<<20 }) // further calls are refused
	if _, err := reportv1.NewReportServiceClient(conn).PostReport(t.Context(), report()); err != nil {
		t.Errorf("a small call meanwhile: %v", err)
	}
	select {
	case <-ended:
	case <-time.After(30 * time.Second):
		t.Fatal("the connection does not end")
	}
	wantEmpty(t, room)
	if err := listByGRPC(t.Context(), conn); err != nil {
		t.Errorf("somebody else: %v", err)
	}
	wantEmpty(t, room)
}

// An answer returns its room however it ends.
func TestAnswersEnd(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*frames, uint32) error{
		"taken": func(f *frames, id uint32) error {
			return errors.Join(f.WriteWindowUpdate(0, 2<<20), f.WriteWindowUpdate(id, 2<<20))
		},
		"some of it":  func(f *frames, id uint32) error { return errors.Join(f.WriteWindowUpdate(id, 10), f.conn.Close()) },
		"called off":  func(f *frames, id uint32) error { return f.WriteRSTStream(id, http2.ErrCodeCancel) },
		"disconnects": func(f *frames, _ uint32) error { return f.conn.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			room := NewRoom()
			conn := serveGRPCWith(t, &stub{reportData: strings.Repeat("x", 1<<20)}, room, &conf.Server_GRPC{})
			f := dialFrames(t, conn.Target(), noWindow())
			go f.answersUntil(make(chan error, 1))
			id := f.lists(t, 1)[0]
			eventually(t, func() bool { return room.left.Load() < allRoom })
			if err := end(f, id); err != nil {
				t.Fatal(err)
			}
			wantEmpty(t, room)
		})
	}
}

// Small answers that are not read count as open calls, also those of health checks.
func TestSmallAnswersAreCalls(t *testing.T) {
	t.Parallel()
	conn := serveGRPCWith(t, &stub{}, NewRoom(), &conf.Server_GRPC{})
	for range maxCalls/maxStreams + 1 {
		f := dialFrames(t, conn.Target(), noWindow())
		go f.answersUntil(make(chan error, 1))
		for range maxStreams {
			if err := f.WriteData(f.call(t, healthpb.Health_Check_FullMethodName), true, make([]byte, 5)); err != nil {
				t.Fatal(err)
			}
		}
	}
	eventually(t, func() bool { return status.Code(listByGRPC(t.Context(), conn)) == codes.Unavailable })
}

// Compressed requests are accepted; answers are not compressed.
func TestGRPCCompressed(t *testing.T) {
	t.Parallel()
	room := NewRoom()
	conn := serveGRPCWith(t, &stub{reportData: strings.Repeat("x", 1<<20)}, room, &conf.Server_GRPC{})
	reply, err := reportv1.NewReportServiceClient(conn).ListReports(t.Context(), new(reportv1.ListReportsRequest), grpc.UseCompressor(gzip.Name))
	if err != nil || len(reply.Reports) != 1 || len(reply.Reports[0].ReportData) != 1<<20 {
		t.Errorf("%.100s, %v", reply, err)
	}
	wantEmpty(t, room)
}

func report() *reportv1.PostReportRequest {
	return &reportv1.PostReportRequest{ReportType: "event", AppId: "a", AppKey: "k", EventName: "e", Content: "{}"}
}

// A client that reads nothing, although it opens all windows, is not waited for either.
func TestNobodyReads(t *testing.T) {
	t.Parallel()
	room := NewRoom()
	s := &stub{reportData: strings.Repeat("x", 1<<20)}
	conn := serveGRPCWith(t, s, room, &conf.Server_GRPC{Timeout: durationpb.New(500 * time.Millisecond)})
	f := dialFrames(t, conn.Target(), http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1<<31 - 1})
	if err := f.conn.(*net.TCPConn).SetReadBuffer(4 << 10); err != nil {
		t.Fatal(err)
	}
	if err := f.WriteWindowUpdate(0, 1<<31-1-65535); err != nil {
		t.Fatal(err)
	}
	f.lists(t, 14)
	eventually(t, func() bool { return room.left.Load() < allRoom })
	wantEmpty(t, room)
}
