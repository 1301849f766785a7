"""A job in which something goes wrong; the first argument says what. Who starts it knows what must come of it."""

import os
import signal
import sys
import threading

what = sys.argv[1]
if what == "not initialized":
    import tutti.mpi

    tutti.mpi.rc.initialize = False
    assert not tutti.mpi.Is_initialized()
    try:
        tutti.mpi.COMM_WORLD.Barrier()
    except tutti.mpi.Error as e:
        assert e.kind == "closed", e
        tutti.mpi.Init()
        tutti.mpi.COMM_WORLD.Barrier()
        print("closed, then fine")
    sys.exit()

from tutti import mpi as MPI

comm = MPI.COMM_WORLD
me, n = comm.rank, comm.size
comm.Barrier()
last = me == n - 1

if what == "raises":
    if last:
        raise ValueError("this rank fails")
    comm.recv()
elif what == "raises in thread of another":
    if last:
        raise KeyError("this rank fails too")
    t = threading.Thread(target=comm.recv)
    t.start()
    t.join()
elif what == "exit":
    if last:
        sys.exit(7)
    comm.Barrier()
elif what == "_exit":
    if last:
        os._exit(0)
    comm.Barrier()
elif what == "killed":
    if last:
        os.kill(os.getpid(), signal.SIGKILL)
    comm.Barrier()
elif what == "abort":
    if last:
        print("aborting", flush=True)
        comm.Abort(5)
    comm.Barrier()
elif what == "fatal":
    comm.Set_errhandler(MPI.ERRORS_ARE_FATAL)
    if last:
        comm.Send(b"", n)
    comm.Barrier()
elif what == "finalized":
    MPI.Finalize()
    try:
        comm.Barrier()
    except MPI.Error as e:
        assert e.kind == "closed" and MPI.Is_finalized(), e
        print("closed")
elif what == "interrupt":
    # The wait itself is interrupted: of a receive, a send, and a collective call.
    main = threading.get_ident()
    for call in (lambda: comm.Recv(bytearray(1), me, 5), lambda: comm.recv(source=me, tag=6), lambda: comm.Ssend(b"x", me, 7), lambda: comm.Probe(me, 8),
                 lambda: comm.Irecv(bytearray(1), me, 9).Wait()):
        threading.Timer(0.05, signal.pthread_kill, (main, signal.SIGINT)).start()
        try:
            call()
            print("not interrupted")
        except KeyboardInterrupt:
            pass
    if n > 1:
        part = comm.Dup()
        if me == 0:
            threading.Timer(0.05, signal.pthread_kill, (main, signal.SIGINT)).start()
            try:
                part.Barrier()
            except KeyboardInterrupt:
                try:
                    part.Barrier()
                except MPI.Error as e:
                    assert e.kind == "canceled", e
    comm.Barrier()
    print("interrupted")
elif what == "uncaught interrupt":
    if last:
        threading.Timer(0.05, signal.pthread_kill, (threading.get_ident(), signal.SIGINT)).start()
    comm.recv(source=me)
else:
    sys.exit(f"{what} is no fault")
