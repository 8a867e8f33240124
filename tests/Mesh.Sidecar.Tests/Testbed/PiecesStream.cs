using System.Net.Sockets;

namespace Mesh.Sidecar.Tests.Testbed;

/// <summary>A socket's stream whose first write goes out in pieces, with a pause after each.</summary>
internal sealed class PiecesStream(Socket socket, int pieces, Func<Task>? pause) : NetworkStream(socket, ownsSocket: false)
{
    private bool isCut;

    public override async ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default)
    {
        var size = isCut ? buffer.Length : (buffer.Length + pieces - 1) / pieces;
        isCut = true;
        for (; buffer.Length > 0; buffer = buffer[Math.Min(size, buffer.Length)..])
        {
            await base.WriteAsync(buffer[..Math.Min(size, buffer.Length)], cancellationToken);
            if (pause is not null) await pause();
        }
    }
}
