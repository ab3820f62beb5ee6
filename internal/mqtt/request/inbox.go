package request

import (
	"strings"

	"github.com/google/uuid"
)

// InboxPrefix is the first level of the reply topics of a client. It differs from the
// response topics that access rules bind to a device, because a client and a device may
// have the same name.
const InboxPrefix = "inbox/"

// InboxOf returns the reply topic of a client id up to its random last level.
func InboxOf(clientID string) string { return InboxPrefix + level(clientID) + "/" }

// FormerInboxOf returns what InboxOf returned in earlier versions.
func FormerInboxOf(clientID string) string { return "reply/" + level(clientID) + "/" }

// level encodes any client id as one level of a topic.
func level(id string) string {
	return strings.NewReplacer("%", "%25", "/", "%2F", "+", "%2B", "#", "%23").Replace(id)
}

// isInbox reports whether a response topic is one that our clients generate: inbox/<client
// id>/<random UUID>. Only the repliers of that client learn the topic, so it needs no
// binding: a topic that an attacker makes up reaches nobody.
func isInbox(response string) bool {
	client, ok := strings.CutPrefix(response, InboxPrefix)
	client, name, found := strings.Cut(client, "/")
	if !ok || !found || client == "" || len(name) != 36 {
		return false
	}
	id, err := uuid.Parse(name)
	return err == nil && id.Version() == 4
}
