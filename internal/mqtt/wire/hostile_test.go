package wire

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/kratos-mqtt/kratos-mqtt/internal/test/badinput"
)

// packets reads the table of bad packets and fails if it is too short.
func packets(tb testing.TB) []badinput.Packet {
	tb.Helper()
	list, err := badinput.Packets()
	if err != nil {
		tb.Fatal(err)
	}
	if len(list) < 300 {
		tb.Fatalf("%d malformed packets, want at least 300", len(list))
	}
	return list
}

func TestHostilePackets(t *testing.T) {
	t.Parallel()
	for _, row := range packets(t) {
		if !row.Decoder {
			continue // only a whole connection shows the fault
		}
		for _, v := range row.Versions {
			t.Run(fmt.Sprintf("%s/%v/%s/%s", row.Type, Version(v), row.Rule, row.Case), func(t *testing.T) {
				t.Parallel()
				_, err := decodeFrame(Version(v), slices.Clip(row.Bytes))
				var m *MalformedError
				if !errors.As(err, &m) {
					t.Fatalf("% x: got %v, want a *MalformedError", row.Bytes, err)
				}
				if m.Rule != row.Rule || m.Detail != row.Want || m.Type.String() != row.Type {
					t.Errorf("% x: got %v", row.Bytes, err)
				}
				if strings.ContainsAny(err.Error(), "\r\n\x1b\x00") {
					t.Errorf("not fit for a log: %q", err)
				}
			})
		}
	}
}
