package broker

import "strings"

// request is one filter of a SUBSCRIBE with its options.
type request struct {
	filter            string // as the client wrote it
	share             string // group, empty if not shared
	plain             string // filter without $share and group
	qos               byte
	noLocal           bool
	retainAsPublished bool
	retainHandling    byte
}

type subscribe struct {
	id             uint16
	subscriptionID uint32
	requests       []request
}

func decodeSubscribe(body []byte, version byte) (s subscribe, err error) {
	c := cursor{b: body}
	s.id = c.uint16()
	if version == 5 {
		c.properties(setOf(propSubscriptionID, propUserProperty), func(p property) {
			if p.id == propSubscriptionID {
				if s.subscriptionID = p.num; p.num == 0 && c.err == nil {
					c.err = breach("subscription identifier 0")
				}
			}
		})
	}
	for len(c.b) > 0 {
		r := request{filter: string(c.text())}
		options := c.byte()
		if c.err != nil {
			break
		}
		r.qos = options & 3
		if version == 5 {
			r.noLocal, r.retainAsPublished, r.retainHandling = options&4 != 0, options&8 != 0, options>>4&3
		}
		if r.qos == 3 || (version == 4 && options > 2) || options > 0x3F || r.retainHandling == 3 { // [MQTT-3.8.3-5]
			return s, malformed("subscription options %#x", options)
		}
		r.share, r.plain, err = splitFilter(r.filter)
		if err != nil {
			return s, err
		}
		if r.share != "" && r.noLocal {
			return s, breach("no local on a shared subscription") // [MQTT-3.8.3-4]
		}
		s.requests = append(s.requests, r)
	}
	if c.err != nil {
		return s, c.err
	}
	if s.id == 0 || len(s.requests) == 0 { // [MQTT-2.2.1-3], [MQTT-3.8.3-2]
		return s, breach("SUBSCRIBE %d with %d filters", s.id, len(s.requests))
	}
	return s, nil
}

type unsubscribe struct {
	id      uint16
	filters []string
}

func decodeUnsubscribe(body []byte, version byte) (u unsubscribe, err error) {
	c := cursor{b: body}
	u.id = c.uint16()
	if version == 5 {
		c.properties(setOf(propUserProperty), nil)
	}
	for len(c.b) > 0 {
		filter := string(c.text())
		if c.err != nil {
			break
		}
		if _, _, err := splitFilter(filter); err != nil {
			return u, err
		}
		u.filters = append(u.filters, filter)
	}
	if c.err != nil {
		return u, c.err
	}
	if u.id == 0 || len(u.filters) == 0 { // [MQTT-3.10.3-2]
		return u, breach("UNSUBSCRIBE %d with %d filters", u.id, len(u.filters))
	}
	return u, nil
}

// splitFilter validates a filter and separates $share and the group from it.
func splitFilter(filter string) (share, plain string, err error) {
	plain = filter
	if rest, shared := strings.CutPrefix(filter, "$share/"); shared {
		var found bool
		share, plain, found = strings.Cut(rest, "/")
		if !found || share == "" || strings.ContainsAny(share, "+#") { // [MQTT-4.8.2-1], [MQTT-4.8.2-2]
			return "", "", &violation{reasonFilter, "shared filter"}
		}
	}
	if plain == "" {
		return "", "", &violation{reasonFilter, "empty filter"} // [MQTT-4.7.3-1]
	}
	levels := strings.Split(plain, "/")
	for i, level := range levels {
		if level == "+" || (level == "#" && i == len(levels)-1) {
			continue
		}
		if strings.ContainsAny(level, "+#") { // [MQTT-4.7.1-1], [MQTT-4.7.1-2]
			return "", "", &violation{reasonFilter, "wildcard inside a level"}
		}
	}
	return share, plain, nil
}

// matches reports whether a topic matches the levels of a filter.
func matches(levels []string, topic string) bool {
	if topic[0] == '$' && (levels[0] == "#" || levels[0] == "+") {
		return false // [MQTT-4.7.2-1]
	}
	for i, level := range levels {
		if level == "#" {
			return true
		}
		name, rest, more := strings.Cut(topic, "/")
		if level != "+" && level != name {
			return false
		}
		if i == len(levels)-1 {
			return !more
		}
		if !more {
			return i == len(levels)-2 && levels[i+1] == "#"
		}
		topic = rest
	}
	return false
}
