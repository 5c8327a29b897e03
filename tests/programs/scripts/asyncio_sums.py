"""asyncio: a server that answers each connection with the SHA-256 of what it sent; or as many clients of it at once.

    asyncio_sums.py serve HOST PORT | asyncio_sums.py ask HOST PORT COUNT
"""

import asyncio
import hashlib
import signal
import sys

SIZE = 200_000


def text(number: int) -> bytes:
    return hashlib.sha256(b"%d" % number).digest() * (SIZE // 32)


async def serve(host: str, port: int) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        state = hashlib.sha256()
        while block := await reader.read(65536):
            state.update(block)
        writer.write(state.digest())
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(answer, host, port, backlog=256)
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    print("serving", flush=True)
    await ended.wait()
    server.close()
    await server.wait_closed()


async def ask(host: str, port: int, count: int) -> None:
    connected = asyncio.Semaphore(0)
    together = asyncio.Event()

    async def one(number: int) -> bool:
        reader, writer = await asyncio.open_connection(host, port)
        connected.release()
        await together.wait()  # all of them are open before one of them ends
        writer.write(text(number))
        writer.write_eof()
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
        return answer == hashlib.sha256(text(number)).digest()

    tasks = [asyncio.create_task(one(number)) for number in range(count)]
    for _ in range(count):
        await connected.acquire()
    together.set()
    right = sum(await asyncio.gather(*tasks))
    print(f"{right} of {count}")
    sys.exit(0 if right == count else 1)


if __name__ == "__main__":
    what, host, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
    asyncio.run(serve(host, port) if what == "serve" else ask(host, port, int(sys.argv[4])))
