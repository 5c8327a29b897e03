%% Takes a file up to the half-close and gives its SHA-256: by gen_tcp at port 7000, by the module socket at 7001.
-module(sums).
-export([serve/0, ask/1]).

serve() ->
    Options = [binary, {active, false}, {reuseaddr, true}, {backlog, 100}, {exit_on_close, false}],
    {ok, Listener} = gen_tcp:listen(7000, Options),
    {ok, Other} = socket:open(inet, stream, tcp),
    ok = socket:bind(Other, #{family => inet, addr => any, port => 7001}),
    ok = socket:listen(Other),
    spawn(fun() -> accept(socket, Other) end),
    io:format("serving~n"),
    accept(gen_tcp, Listener).

accept(Module, Listener) ->
    {ok, Connection} = Module:accept(Listener),
    Child = spawn(fun() -> receive go -> sum(Module, Connection, crypto:hash_init(sha256)) end end),
    Module == socket orelse gen_tcp:controlling_process(Connection, Child),
    Child ! go,
    accept(Module, Listener).

sum(Module, Connection, Sum) ->
    case Module:recv(Connection, 0) of
        {ok, Bytes} ->
            sum(Module, Connection, crypto:hash_update(Sum, Bytes));
        {error, closed} ->
            Module:send(Connection, binary:encode_hex(crypto:hash_final(Sum))),
            Module:close(Connection)
    end.

ask([Name, File]) ->
    {ok, Bytes} = file:read_file(File),
    {ok, Host} = inet:parse_address(atom_to_list(Name)),
    Me = self(),
    Ask = fun() -> Me ! {sum, active(Host, Bytes)} end,
    [spawn(Ask) || _ <- lists:seq(1, 20)],
    [receive {sum, Sum} -> io:format("~s~n", [Sum]) end || _ <- lists:seq(1, 20)],
    {ok, Socket} = socket:open(inet, stream, tcp),
    ok = socket:connect(Socket, #{family => inet, addr => Host, port => 7001}),
    ok = socket:send(Socket, Bytes),
    ok = socket:shutdown(Socket, write),
    {ok, Last} = socket:recv(Socket, 64),
    io:format("~s~n", [Last]),
    io:format("~p~n", [gen_tcp:connect(Host, 9, [])]),
    {ok, None} = socket:open(inet, stream, tcp),
    io:format("~p~n", [socket:connect(None, #{family => inet, addr => Host, port => 9})]),
    halt(0).

active(Host, Bytes) ->
    {ok, Socket} = gen_tcp:connect(Host, 7000, [binary, {active, true}]),
    ok = gen_tcp:send(Socket, Bytes),
    ok = gen_tcp:shutdown(Socket, write),
    collected(Socket, <<>>).

collected(Socket, Before) ->
    receive
        {tcp, Socket, Bytes} -> collected(Socket, <<Before/binary, Bytes/binary>>);
        {tcp_closed, Socket} -> Before
    end.
