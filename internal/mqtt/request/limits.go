package request

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"strings"
	"unicode/utf8"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
)

// Defaults of [Limits].
const (
	defaultLevels     = 16
	defaultLength     = 256
	defaultReplies    = 60_000
	defaultBytes      = 64 << 20
	defaultRequesters = 4096
)

// Limits bound what a client can make the service publish; 0 means the default. A
// requester is what the broker's access rules guard: the topic of the request.
type Limits struct {
	// Levels and Length, in characters, of a response topic.
	Levels, Length int
	// PerMinute is the number of replies of a requester per minute, and BytesPerMinute
	// their bytes.
	PerMinute      int
	BytesPerMinute int64
	// Requesters is the maximum number of requesters that are remembered.
	Requesters int
}

// Configure takes what a service's configuration sets; nil changes nothing.
func (l *Limits) Configure(c *v1.Replies) {
	l.Levels = cmp.Or(int(min(c.GetMaxLevels(), math.MaxInt32)), l.Levels)
	l.Length = cmp.Or(int(min(c.GetMaxLength(), math.MaxInt32)), l.Length)
	l.PerMinute = cmp.Or(int(min(c.GetPerMinute(), math.MaxInt32)), l.PerMinute)
	l.BytesPerMinute = cmp.Or(int64(min(c.GetBytesPerMinute(), math.MaxInt64)), l.BytesPerMinute)
	l.Requesters = cmp.Or(int(min(c.GetMaxRequesters(), math.MaxInt32)), l.Requesters)
}

// Resolved returns the limits with the defaults in the place of 0.
func (l Limits) Resolved() Limits {
	return Limits{
		Levels: cmp.Or(l.Levels, defaultLevels), Length: cmp.Or(l.Length, defaultLength),
		PerMinute: cmp.Or(l.PerMinute, defaultReplies), BytesPerMinute: cmp.Or(l.BytesPerMinute, defaultBytes),
		Requesters: cmp.Or(l.Requesters, defaultRequesters),
	}
}

// originShares is the number of shares that all request topics of one origin have
// together. An origin may have many topics: one device can make them up, or a tenant can
// have many devices.
const originShares = 4

// ofOrigin are the limits of all topics of requests of one origin.
func (l Limits) ofOrigin() Limits {
	l.PerMinute = min(l.PerMinute, math.MaxInt/originShares) * originShares
	l.BytesPerMinute = min(l.BytesPerMinute, math.MaxInt64/originShares) * originShares
	return l
}

// check looks at the form of a response topic.
func (l *Limits) check(response string) error {
	if logsafe.Line(response) != response {
		return errors.New("response topic has characters that are not printable")
	}
	if n := utf8.RuneCountInString(response); n > l.Length {
		return fmt.Errorf("response topic of %d characters, want at most %d (max_length of the replies)", n, l.Length)
	}
	if n := strings.Count(response, "/") + 1; n > l.Levels {
		return fmt.Errorf("response topic of %d levels, want at most %d (max_levels of the replies)", n, l.Levels)
	}
	return nil
}
