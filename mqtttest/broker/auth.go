package broker

import "encoding/binary"

// Reason codes of AUTH, section 3.15.2.1.
const (
	authSuccess  = 0x00
	authContinue = 0x18
	authAgain    = 0x19
)

// Exchange is the broker's side of one exchange of authentication data. It is called with the
// client's data, and returns the broker's answer with a code: 0 accepts, 0x18 asks for more, and
// others refuse, see [WithAuthentication].
type Exchange func(data []byte) (answer []byte, code byte)

// WithEnhancedAuthentication accepts clients of MQTT 5 that name this authentication method. begin
// is called for each CONNECT and each re-authentication of such a client, and may be called
// concurrently. Clients that name no method are accepted as without it; those that name another
// one are refused with 0x8C. Default: every method is refused.
func WithEnhancedAuthentication(method string, begin func(clientID string) Exchange) Option {
	return func(o *options) { o.method, o.exchange = method, begin }
}

// handshake is a CONNECT whose exchange is not over.
type handshake struct {
	connect  *connect
	assigned string
	verdict  *Injected
	packet   Packet
	exchange Exchange
}

const authProperties = propertySet(1<<propAuthMethod | 1<<propAuthData | 1<<propReasonString | 1<<propUserProperty)

func decodeAuth(p Packet, method string) (code byte, data []byte, err error) {
	if p.Type() != Auth {
		return 0, nil, breach("%v instead of AUTH", p.Type())
	}
	if p.First&15 != 0 {
		return 0, nil, malformed("flags of AUTH") // [MQTT-3.15.1-1]
	}
	c := cursor{b: p.Body}
	named := ""
	if len(p.Body) > 0 {
		code = c.byte()
		c.properties(authProperties, func(p property) {
			switch p.id {
			case propAuthMethod:
				named = string(p.data)
			case propAuthData:
				data = clone(p.data)
			}
		})
	}
	if err := c.end(); err != nil {
		return 0, nil, err
	}
	if named != method { // [MQTT-4.12.0-5]
		return 0, nil, breach("AUTH with another method")
	}
	return code, data, nil
}

func appendAuth(code byte, method string, data []byte) []byte {
	props := appendAuthProperties(nil, method, data)
	body := binary.AppendUvarint([]byte{code}, uint64(len(props)))
	return Packet{First: byte(Auth) << 4, Body: append(body, props...)}.Encode()
}

func appendAuthProperties(b []byte, method string, data []byte) []byte {
	if method == "" {
		return b
	}
	b = appendText(append(b, propAuthMethod), method)
	if data != nil {
		b = appendText(append(b, propAuthData), string(data))
	}
	return b
}
