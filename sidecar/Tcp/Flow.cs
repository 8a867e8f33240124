using System.Buffers;
using System.Runtime.CompilerServices;
using Mesh.Sidecar.Identity;

namespace Mesh.Sidecar.Tcp;

/// <summary>
/// One direction of a tunnel. Memory follows traffic: while bytes drip, a receive of 1 KiB is posted and that is all it holds; when one comes full, the rest
/// is gathered in larger buffers of the pool, rented when there is something to receive and given back when it was sent on. One run; what breaks it is thrown.
/// </summary>
internal sealed class Flow(ITransport from, ITransport to, Action<int> passed)
{
    private const int Drip = 1024;
    private const int Least = 16 * 1024;
    private const int Most = 64 * 1024;
    private readonly byte[] drip = GC.AllocateUninitializedArray<byte>(Drip);

    /// <summary>True while it is the sending that goes on: what breaks then is the far side.</summary>
    public bool IsSending { get; private set; }

    /// <summary>Carries everything, and then the end.</summary>
    public async Task RunAsync()
    {
        while (await from.ReceiveAsync(drip) is > 0 and var count)
        {
            if (count < Drip) await SendAsync(drip.AsMemory(0, count));
            else if (!await PourAsync()) break;
        }

        IsSending = true;
        await to.EndSendingAsync();
    }

    /// <summary>Carries what comes behind a full receive until it drips again; false at the end.</summary>
    private async ValueTask<bool> PourAsync()
    {
        var size = Least;
        var buffer = ArrayPool<byte>.Shared.Rent(size);
        try
        {
            drip.CopyTo(buffer, 0);
            var (count, ended) = (Drip, false);
            var arrival = from.WaitAsync();
            while (true)
            {
                // What is here already goes in one piece.
                while (!ended && arrival.IsCompletedSuccessfully && count < buffer.Length)
                {
                    var received = await from.ReceiveAsync(buffer.AsMemory(count));
                    count += received;
                    ended = received == 0;
                    if (!ended) arrival = from.WaitAsync();
                }

                if (count > 0) await SendAsync(buffer.AsMemory(0, count));
                if (ended) return false;
                if (count == buffer.Length) size = Math.Min(Most, size * 4);
                ArrayPool<byte>.Shared.Return(buffer);
                buffer = [];
                await arrival;
                if (count < Drip) return true;
                arrival = default;
                count = 0;
                buffer = ArrayPool<byte>.Shared.Rent(size);
            }
        }
        finally
        {
            if (buffer.Length > 0) ArrayPool<byte>.Shared.Return(buffer);
        }
    }

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder))]
    private async ValueTask SendAsync(ReadOnlyMemory<byte> bytes)
    {
        IsSending = true;
        await to.SendAsync(bytes);
        IsSending = false;
        passed(bytes.Length);
    }
}
