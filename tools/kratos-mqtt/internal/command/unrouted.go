package command

import (
	"fmt"
	"strings"

	"github.com/kratos-mqtt/kratos-mqtt/event/eventimpl"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/eventproto"
)

// warnUnrouted tells that a command which subscribes may take what an outbox keeps for a service:
// the outbox sends a message again while the broker reports that nobody subscribes (unrouted: retry),
// and the broker counts every subscriber.
func (s *session) warnUnrouted(methods eventproto.Methods, filters []string) {
	var kept []string
	for _, m := range methods {
		if m.Unrouted == nil || !m.Unrouted.Retry {
			continue
		}
		for _, own := range m.Filters {
			for _, filter := range filters {
				if eventimpl.Overlap(own, filter) {
					kept = append(kept, own)
				}
			}
		}
	}
	if len(kept) > 0 {
		fmt.Fprintf(s.Err, "warning: senders keep messages of %s while nobody subscribes (unrouted: retry), and this command is a subscriber: if no service is subscribed, it takes them, and the service never gets them\n", strings.Join(unique(kept), ", "))
	}
}
