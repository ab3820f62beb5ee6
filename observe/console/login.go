package console

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strconv"
	"strings"
	"time"

	"golang.org/x/time/rate"

	"github.com/kratos-mqtt/kratos-mqtt/operator"
	"github.com/kratos-mqtt/kratos-mqtt/operator/remote"
)

const (
	// cookieName begins the name of the cookie of a person after the token was entered. Its end
	// depends on the token, because browsers send cookies to all ports of a host: consoles with
	// other tokens have cookies of their own.
	cookieName = "kratosmqtt_console"
	// cookieTime is how long the cookie is valid.
	cookieTime = 12 * time.Hour
)

// login checks the token, and the cookie that replaces it in a browser.
type login struct {
	token  string
	key    []byte // of the cookie; nil without a token
	cookie string // its name; "" without a token
	guard  remote.Guard
	now    func() time.Time
	audit  func(operator.Action) // of refused logins; may be nil
	// seldom lets one refused login a second into the audit, so that guesses do not fill the log.
	seldom rate.Sometimes
}

func newLogin(token string, now func() time.Time, audit func(operator.Action)) *login {
	l := &login{token: token, guard: remote.NewGuard(token), now: now, audit: audit, seldom: rate.Sometimes{Interval: time.Second}}
	if token != "" {
		sum := sha256.Sum256([]byte("kratosmqtt console\n" + token))
		l.key = sum[:]
		l.cookie = cookieName + "_" + l.code("name")[:8]
	}
	return l
}

// enter sets the cookie, if the request has the token. The cookie has the time of its end,
// and a code that only this token makes: the token itself is not in it, and a change of the
// token ends all cookies.
func (l *login) enter(w http.ResponseWriter, r *http.Request) (any, error) {
	var asked struct {
		Token string `json:"token"`
	}
	if err := readJSON(w, r, &asked); err != nil {
		return nil, err
	}
	with := r.Clone(r.Context())
	with.Header.Set("Authorization", "Bearer "+asked.Token)
	if err := l.guard.HTTP(with); err != nil {
		l.refused(r, err)
		return nil, err
	}
	if l.key != nil {
		end := l.now().Add(cookieTime).Unix()
		l.setCookie(w, r, strconv.FormatInt(end, 10)+"."+l.seal(end), int(cookieTime.Seconds()))
	}
	return struct{}{}, nil
}

// refused reports a refused login to the audit.
func (l *login) refused(r *http.Request, err error) {
	if l.audit != nil {
		l.seldom.Do(func() { l.audit(operator.Action{Name: "login", By: r.RemoteAddr, Time: l.now(), Err: err}) })
	}
}

// leave deletes the cookie.
func (l *login) leave(w http.ResponseWriter, r *http.Request) (any, error) {
	if l.key != nil {
		l.setCookie(w, r, "", -1)
	}
	return struct{}{}, nil
}

func (l *login) setCookie(w http.ResponseWriter, r *http.Request, value string, age int) {
	http.SetCookie(w, &http.Cookie{ //nolint:gosec // a server without TLS cannot set a secure cookie
		Name: l.cookie, Value: value, Path: "/", MaxAge: age,
		HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: r.TLS != nil,
	})
}

// seal returns the code for the end of a cookie.
func (l *login) seal(end int64) string { return l.code(strconv.FormatInt(end, 10)) }

func (l *login) code(text string) string {
	mac := hmac.New(sha256.New, l.key)
	mac.Write([]byte(text))
	return hex.EncodeToString(mac.Sum(nil))
}

// recognize returns the request with the token, if it has a valid cookie.
func (l *login) recognize(r *http.Request) *http.Request {
	if l.key == nil || r.Header.Get("Authorization") != "" {
		return r
	}
	cookie, err := r.Cookie(l.cookie)
	if err != nil {
		return r
	}
	text, code, _ := strings.Cut(cookie.Value, ".")
	end, err := strconv.ParseInt(text, 10, 64)
	if err != nil || !hmac.Equal([]byte(code), []byte(l.seal(end))) || l.now().Unix() >= end {
		return r
	}
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+l.token)
	return r
}
