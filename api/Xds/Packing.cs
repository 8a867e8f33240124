using Google.Protobuf;
using Google.Protobuf.WellKnownTypes;

namespace Mesh.Api.Xds;

/// <summary>Messages into <see cref="Any"/> and back. Stateless.</summary>
public static class Packing
{
    /// <summary>Packs with deterministic bytes, so that what holds the Any is deterministic too.</summary>
    public static Any Pack(IMessage message) =>
        new() { TypeUrl = TypeUrls.Of(message.Descriptor), Value = ResourceVersion.Bytes(message) };

    /// <summary>Unpacks, or says why not: another type, malformed bytes.</summary>
    public static T Unpack<T>(Any any)
        where T : class, IMessage<T>, new()
    {
        var descriptor = new T().Descriptor;
        if (!TypeUrls.Names(any.TypeUrl, descriptor))
            throw new InvalidDataException($"expected {TypeUrls.Of(descriptor)}, got '{any.TypeUrl}'");
        try
        {
            return (T)descriptor.Parser.ParseFrom(any.Value);
        }
        catch (Exception e) when (e is InvalidProtocolBufferException or InvalidOperationException or ArgumentException)
        {
            // The second and third are the parser's own faults, for wrappers and strings cut off in the middle.
            throw new InvalidDataException($"malformed {descriptor.FullName}: {e.Message}", e);
        }
    }

    /// <summary>
    /// As <see cref="Unpack{T}"/>, and refuses fields this program does not know: for messages about security, where skipping a
    /// field would mean letting in what it was there to keep out.
    /// </summary>
    public static T UnpackStrictly<T>(Any any)
        where T : class, IMessage<T>, new()
    {
        var message = Unpack<T>(any);
        if (HasUnknownFields(message, any.Value))
            throw new InvalidDataException($"{message.Descriptor.FullName} holds fields this version does not know; refused, since it decides who may do what");
        return message;
    }

    /// <summary>A message that keeps unknown fields is larger than one that drops them.</summary>
    private static bool HasUnknownFields(IMessage message, ByteString bytes) =>
        message.Descriptor.Parser.WithDiscardUnknownFields(true).ParseFrom(bytes).CalculateSize() != message.CalculateSize();
}
