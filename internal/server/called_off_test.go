package server

import (
	"bytes"
	"io"
	"math"
	"strings"
	"testing"

	"golang.org/x/net/http2"

	"github.com/kratos-mqtt/kratos-mqtt/internal/conf"
)

// If a call is cancelled just before its answer is queued, gRPC drops the answer
// silently. Such calls used to count as open until their connection was closed by the
// server, which took the place of other calls and broke the caller's other calls on
// the connection.
func TestCallsThatAreCalledOff(t *testing.T) {
	t.Parallel()
	const rounds, each = 1000, 40
	room := NewRoom()
	conn := serveGRPCWith(t, &stub{reportData: strings.Repeat("x", ownRoom)}, room, &conf.Server_GRPC{})
	f := dialFrames(t, conn.Target(), http2.Setting{ID: http2.SettingInitialWindowSize, Val: math.MaxInt32})
	if err := f.WriteWindowUpdate(0, math.MaxInt32-65535); err != nil {
		t.Fatal(err)
	}
	go f.answersUntil(make(chan error, 1))
	var out bytes.Buffer
	f.Framer = http2.NewFramer(&out, nil)
	for range rounds {
		for _, id := range f.lists(t, each) {
			if err := f.WriteRSTStream(id, http2.ErrCodeCancel); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := io.Copy(f.conn, &out); err != nil {
			t.Fatal(err)
		}
	}
	wantEmpty(t, room)
	if err := listByGRPC(t.Context(), conn); err != nil {
		t.Errorf("somebody else: %v", err)
	}
}
