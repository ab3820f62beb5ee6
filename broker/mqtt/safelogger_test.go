package mqtt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode"

	kerrors "github.com/go-kratos/kratos/v2/errors"
	"github.com/go-kratos/kratos/v2/log"
	"github.com/go-kratos/kratos/v2/middleware/logging"
	"github.com/go-kratos/kratos/v2/middleware/recovery"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// forged is a text that ends a log line and begins another one, moves the cursor and
// reverses the direction of text.
const forged = "x\nERROR ts=2026-01-01 msg=all is lost\r\n\x1b[2J\x9b1m\u0085\u202eevil\u2028next\u2029\x7f\x00\xff"

type stringer struct{}

func (stringer) String() string { return forged }

// Text of remote clients is logged on one line with printable characters only, whatever
// its type and whichever code logs it. Before, two messages could forge more than ten
// lines.
func TestSafeLogger(t *testing.T) {
	// not parallel: Kratos' recovery writes to the global logger
	var out bytes.Buffer
	logger := log.With(SafeLogger(log.NewStdLogger(&out)), "ts", log.DefaultTimestamp, "caller", log.DefaultCaller)
	before := log.GetLogger()
	log.SetLogger(logger)
	defer log.SetLogger(before)
	lines := 0
	expect := func(n int) { lines += n }
	for _, v := range []any{forged, errors.New(forged), stringer{}, []string{forged}, map[string]string{forged: forged}, &struct{ A string }{forged}, []byte(forged), wrapperspb.String(forged)} {
		_ = logger.Log(log.LevelInfo, "msg", v, forged, 1)
		log.NewHelper(logger).Infof("got %v", v)
		expect(2)
	}
	handler := func(_ context.Context, req any) (any, error) {
		return nil, kerrors.BadRequest("R", fmt.Sprintf("no %v", req)).WithMetadata(map[string]string{forged: forged})
	}
	_, _ = logging.Server(logger)(handler)(t.Context(), wrapperspb.String(forged))
	expect(1)
	_, _ = recovery.Recovery()(func(context.Context, any) (any, error) { panic(forged) })(t.Context(), wrapperspb.String(forged))
	expect(1)
	text := strings.TrimSuffix(out.String(), "\n")
	bad := 0
	for line := range strings.SplitSeq(text, "\n") {
		lines--
		if !regexp.MustCompile(`^(INFO|ERROR) ts=\S+ caller=\S+\.go:\d+ `).MatchString(line) {
			bad++
		}
		for _, r := range line {
			if !unicode.IsPrint(r) {
				t.Fatalf("%q in %q", r, line)
			}
		}
	}
	if lines != 0 || bad > 0 {
		t.Errorf("%d lines too few, %d forged", lines, bad)
	}
	if strings.Contains(text, "safelogger.go") {
		t.Error("the caller is the logger itself")
	}
}

type record struct{ keyvals []any }

func (r *record) Log(_ log.Level, keyvals ...any) error {
	r.keyvals = keyvals
	return nil
}

// Harmless values are not changed, and neither is the caller's slice.
func TestSafeLoggerHandsOn(t *testing.T) {
	t.Parallel()
	to := &record{}
	at := time.Unix(1, 0)
	given := []any{"a", 1, "b", 2.5, "c", time.Second, "d", at, "e", nil, "f", "plain", "g", strings.Repeat("é", maxLogged), "odd\n"}
	if err := SafeLogger(to).Log(log.LevelInfo, given...); err != nil {
		t.Fatal(err)
	}
	want := []any{"a", 1, "b", 2.5, "c", time.Second, "d", at, "e", nil, "f", "plain", "g", strings.Repeat("é", maxLogged/2) + "...", `odd\n`}
	if fmt.Sprintf("%#v", to.keyvals) != fmt.Sprintf("%#v", want) {
		t.Errorf("got %.300v", to.keyvals)
	}
	if given[len(given)-1] != "odd\n" {
		t.Error("the caller's slice has changed")
	}
}
