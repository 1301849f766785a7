package cluster

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/fxamacker/cbor/v2"
	"github.com/tinylib/msgp/msgp"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/internal/wire"
)

// Client is one program's membership of a cluster. All methods may be called concurrently.
type Client struct {
	door    Door
	hello   wire.ClientHello
	program string        // name of the engines that run this program's functions
	data    Plane         // how large values come and go
	box     outbox        // tasks on their way and not ended
	onEnd   ending        // what Close ends after the link
	warn    func(string)  // shows warnings to the user
	quit    chan struct{} // closed by Close
	done    chan struct{} // closed when the link's keeper has ended
	once    sync.Once

	mu      sync.Mutex
	link    *wire.Link // nil while there is none
	welcome wire.ClientWelcome
	asks    map[uint64]*question
	asked   uint64
	err     error // why the client is over
}

// question is one that has not been answered. It is asked again of a restarted controller.
type question struct {
	ask    wire.Ask
	answer chan *wire.Answer // room for one
}

// join opens the first link and starts to keep it.
func (c *Client) join(ctx context.Context) error {
	c.box.init()
	c.box.returns, c.box.keep = c.door.Again, c.door.Keep
	c.asks = map[uint64]*question{}
	c.quit, c.done = make(chan struct{}), make(chan struct{})
	link, err := c.connect(ctx)
	if err != nil {
		return err
	}
	c.begin(link)
	go c.keep(link)
	return nil
}

// connect opens a link and waits for the controller's welcome.
func (c *Client) connect(ctx context.Context) (*wire.Link, error) {
	hello := c.hello
	hello.Client, hello.Secret = c.welcome.Client, c.welcome.Secret
	info, err := hello.MarshalMsg(nil)
	if err != nil {
		return nil, tutti.E("join cluster", tutti.Internal, err)
	}
	link, err := wire.Connect(ctx, c.door.Network, c.door.Addr, wire.Hello{
		Role: wire.RoleClient, Name: hello.Name, Software: hello.Version, Info: info,
	}, c.door.Link)
	if err != nil {
		return nil, err
	}
	m, err := link.Recv(ctx)
	var w wire.ClientWelcome
	if err == nil && m.Kind != wire.KindWelcome {
		err = tutti.Errorf("join cluster", tutti.Corrupt, "the controller began with a message of kind %d", m.Kind)
	}
	if err == nil {
		err = wire.Unpack(m, &w)
	}
	if err == nil && c.welcome.Life != "" && (w.Life != c.welcome.Life || w.Client != c.welcome.Client) {
		err = tutti.Errorf("join cluster", tutti.Expired, "the cluster %s was started afresh and does not know this client any more", w.Cluster).
			WithHint("durable tasks go on: see `tutti jobs`")
	}
	if err != nil {
		link.Abort("the client could not join")
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.welcome = w
	c.box.mu.Lock()
	c.box.client = w.Client
	c.box.mu.Unlock()
	return link, nil
}

// begin puts a link into service.
func (c *Client) begin(link *wire.Link) {
	c.mu.Lock()
	c.link = link
	for _, q := range c.asks {
		c.post(link, wire.KindAsk, &q.ask)
	}
	c.mu.Unlock()
}

// keep reads the link, and opens another when it is lost, for as long as that makes sense.
func (c *Client) keep(link *wire.Link) {
	defer close(c.done)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	for {
		err := c.use(ctx, link)
		c.mu.Lock()
		c.link = nil
		c.mu.Unlock()
		if link, err = c.comeBack(ctx, err); err != nil {
			c.end(err)
			return
		}
		c.box.again()
		c.begin(link)
		go c.resumed(ctx, link)
	}
}

// resumed tells a restarted controller when everything that this client waits for was sent again.
func (c *Client) resumed(ctx context.Context, link *wire.Link) {
	if c.program != "" {
		_ = c.ask(ctx, "want", c.door.Want, nil) // asked again by begin if the link is lost meanwhile
	}
	c.box.sent(ctx)
	_ = c.ask(ctx, "resumed", nil, nil)
}

// use runs a link: a sender, and this goroutine as its reader. It returns when the link has ended.
func (c *Client) use(ctx context.Context, link *wire.Link) error {
	s := &sender{c: c, link: link}
	var sending sync.WaitGroup
	sending.Go(s.run)
	defer sending.Wait()
	defer s.stop()
	for {
		m, err := link.Recv(ctx)
		if err == nil {
			err = c.receive(m)
		}
		if err != nil {
			if tutti.KindOf(err) == tutti.Corrupt {
				link.Abort(err.Error())
			}
			return err
		}
	}
}

// comeBack opens a new link after the old one has ended with err, if the client is not closed and
// the controller may come back.
func (c *Client) comeBack(ctx context.Context, err error) (*wire.Link, error) {
	select {
	case <-c.quit:
		return nil, tutti.Errorf("use cluster", tutti.Closed, "the client was closed")
	default:
	}
	if !c.door.Again || !passes(err) || errors.Is(err, wire.ErrFenced) {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-c.quit:
			cancel()
		case <-ctx.Done():
		}
	}()
	c.warn("the controller is away; waiting for it to come back (start it again with `tutti start`)")
	c.door.Link.Patience = returnPatience
	for until := time.Now().Add(returnPatience); ; {
		link, again := c.connect(ctx)
		if again == nil {
			return link, nil
		}
		// The one that had come back may die before it has said welcome.
		if !passes(again) || time.Now().After(until) || !pause(ctx) {
			return nil, tutti.Errorf("use cluster", tutti.Lost, "%v; coming back: %w", err, again)
		}
	}
}

// passes reports whether an error says no more than that a controller has gone.
func passes(err error) bool {
	k := tutti.KindOf(err)
	return k == tutti.Lost || k == tutti.Closed
}

// pause waits a little before the next try; false if ctx has ended.
func pause(ctx context.Context) bool {
	t := time.NewTimer(100 * time.Millisecond)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// returnPatience is how long a client of a detached cluster waits for a controller that has died
// to be started again.
const returnPatience = 10 * time.Minute

// receive takes in one message of the controller.
func (c *Client) receive(m wire.Message) error {
	switch m.Kind {
	case wire.KindOutcomes:
		var o wire.Outcomes
		if err := wire.Unpack(m, &o); err != nil {
			return err
		}
		c.box.ended(o.Ends, func(cl *call, o *wire.Outcome) { cl.end(o) })
		c.heard()
	case wire.KindThrottle:
		var t wire.Throttle
		if err := wire.Unpack(m, &t); err != nil {
			return err
		}
		c.box.hold(t.On)
	case wire.KindNotice:
		var n wire.Notice
		if err := wire.Unpack(m, &n); err != nil {
			return err
		}
		if ear := c.door.Ear; ear != nil {
			ear.Notice(n.Task, n.Text)
			ear.Heard()
		} else {
			c.warn("task " + n.Task.String() + ": " + n.Text)
		}
	case wire.KindOutput:
		var o wire.Output
		if err := wire.Unpack(m, &o); err != nil {
			return err
		}
		if ear := c.door.Ear; ear != nil {
			ear.Output(&o)
			ear.Heard()
		}
	case wire.KindDisplay:
		var d wire.Display
		if err := wire.Unpack(m, &d); err != nil {
			return err
		}
		if ear := c.door.Ear; ear != nil {
			ear.Display(&d)
			ear.Heard()
		}
	case wire.KindAnswer:
		a := new(wire.Answer)
		if err := wire.Unpack(m, a); err != nil {
			return err
		}
		c.answered(a)
	default:
		return tutti.Errorf("use cluster", tutti.Corrupt, "message of unknown kind %d", m.Kind)
	}
	return nil
}

// heard tells the ear, if there is one, that a message has been dealt with.
func (c *Client) heard() {
	if ear := c.door.Ear; ear != nil {
		ear.Heard()
	}
}

// tell sends a message, waiting for the link's window.
func (c *Client) tell(link *wire.Link, kind uint16, header msgp.Marshaler) error {
	m, err := wire.Pack(kind, header)
	if err != nil {
		return err
	}
	return link.Send(context.Background(), m) // ends with the link
}

// post sends a message without waiting. A link that has ended is noticed by its reader.
func (c *Client) post(link *wire.Link, kind uint16, header msgp.Marshaler) {
	if m, err := wire.Pack(kind, header); err == nil {
		_ = link.Post(m)
	}
}

// ask puts a question to the controller and waits for the answer, which is decoded into into
// unless that is nil; a *[]byte receives it as it is.
func (c *Client) ask(ctx context.Context, verb string, body, into any) error {
	q := &question{answer: make(chan *wire.Answer, 1), ask: wire.Ask{Verb: verb}}
	if body != nil {
		data, err := cbor.Marshal(body)
		if err != nil {
			return tutti.E(verb, tutti.Invalid, err)
		}
		q.ask.Body = data
	}
	if err := c.put(q); err != nil {
		return err
	}
	defer c.drop(q)
	select {
	case a := <-q.answer:
		return readAnswer(verb, a, into)
	case <-ctx.Done():
		return tutti.Errorf("ask "+verb, tutti.KindOf(ctx.Err()), "no answer of the controller: %w", ctx.Err())
	case <-c.done:
		select {
		case a := <-q.answer:
			return readAnswer(verb, a, into)
		default:
			return c.over()
		}
	}
}

func readAnswer(verb string, a *wire.Answer, into any) error {
	if a.Fail != nil {
		return a.Fail.Error()
	}
	if raw, ok := into.(*[]byte); ok {
		*raw = a.Body
		return nil
	}
	if into == nil || len(a.Body) == 0 {
		return nil
	}
	if err := cbor.Unmarshal(a.Body, into); err != nil {
		return tutti.E("ask "+verb, tutti.Corrupt, err)
	}
	return nil
}

func (c *Client) put(q *question) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return c.err
	}
	c.asked++
	q.ask.Seq = c.asked
	c.asks[q.ask.Seq] = q
	if c.link != nil {
		c.post(c.link, wire.KindAsk, &q.ask)
	}
	return nil
}

func (c *Client) drop(q *question) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.asks, q.ask.Seq)
}

func (c *Client) answered(a *wire.Answer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if q := c.asks[a.Seq]; q != nil {
		delete(c.asks, a.Seq)
		q.answer <- a
	}
}

// over is why the client has ended.
func (c *Client) over() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// end settles everything that is open.
func (c *Client) end(err error) {
	c.mu.Lock()
	if c.err == nil {
		c.err = err
	}
	err = c.err
	c.mu.Unlock()
	c.box.close(err)
}

// ID is the client's number in its cluster: what it submits is called by it, "7" or "7.12".
func (c *Client) ID() tutti.ClientID {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.welcome.Client
}

// Close leaves the cluster: calls that have not ended are cancelled, unless they are durable or
// the client was opened with [Keep]. An embedded cluster ends. Closing again does nothing.
func (c *Client) Close() error {
	c.once.Do(func() {
		close(c.quit)
		c.mu.Lock()
		link := c.link
		c.mu.Unlock()
		if link != nil {
			link.Close()
		}
		<-c.done
		c.onEnd.run()
	})
	return nil
}

// keeper is the client as its promises know it.
type keeper struct{ *Client }

// Cancel asks for a task to stop.
func (k keeper) Cancel(id tutti.TaskID) { k.box.cancel(id) }

// questionTime bounds the questions that a caller cannot bound himself.
const questionTime = 5 * time.Second

// Info is what the controller knows of a task.
func (k keeper) Info(id tutti.TaskID) tutti.TaskInfo {
	ctx, cancel := context.WithTimeout(context.Background(), questionTime)
	defer cancel()
	var row wire.TaskRow
	if err := k.ask(ctx, "task", wire.TaskName{Task: id}, &row); err != nil {
		return tutti.TaskInfo{ID: id, Engine: tutti.NoEngine}
	}
	return infoOf(&row)
}

// Why says what a task that has not ended waits for, or where it runs.
func (k keeper) Why(ctx context.Context, id tutti.TaskID) string {
	ctx, cancel := context.WithTimeout(ctx, questionTime)
	defer cancel()
	text, err := k.Explain(ctx, id)
	if err != nil {
		return err.Error()
	}
	return text
}

// Fetch gives the bytes of a value that is a blob.
func (k keeper) Fetch(ctx context.Context, v tutti.Value) ([]byte, func(), error) {
	return k.data.Get(ctx, v)
}
