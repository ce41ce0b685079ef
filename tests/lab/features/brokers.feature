Feature: A broker is lost
  The brokers carry wake-ups and don't know each other: none of them leads, and none has to be found anew.

  Scenario Outline: The broker of the machine that holds the virtual IP <is lost>
    Given a cluster of three machines with servers on each of them
    And clients that create and delete ports without pause
    When the broker of the machine that holds the virtual IP <is lost>
    Then a network that is made now works within 15 seconds
    And the API answered with errors for at most 5 seconds
    When the broker has been away for 40 seconds and is well again
    Then nothing that was acknowledged is lost
    And every server runs, and none was started anew

    Examples:
      | is lost    |
      | is killed  |
      | hangs      |
      | is cut off |
